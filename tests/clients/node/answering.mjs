// Answers the test that started this process: one JSON line asks a verb, one JSON line answers.

import { createInterface } from "node:readline";

// What was thrown, and what that was thrown for.
function inWords(error, depth = 3) {
  if (!(error instanceof Error) || depth === 0) return error;
  const { name, message, code, error: word, errorCode, subError, claims, cause } = error;
  return { name, message, code, error: word, errorCode, subError, claims, cause: inWords(cause, depth - 1) };
}

export async function answering(verbs) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { verb, ...given } = JSON.parse(line);
    let answer;
    try {
      answer = { result: (await verbs[verb](given)) ?? null };
    } catch (error) {
      answer = { refusal: inWords(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
