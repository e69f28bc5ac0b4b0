// Mage's pages sign out in the background. Where the server answers that Entra has a session to end as well,
// the browser has to go there itself. A page of another origin cannot bring this about: only answers of our
// own origin are looked at.
(() => {
  const ask = window.fetch;
  window.fetch = async (...words) => {
    const answer = await ask(...words);
    const there = new URL(answer.url || location.href, location.href);
    const next = there.origin === location.origin && answer.headers.get("entrada-sign-out");
    if (!next) return answer;
    location.assign(next);
    return new Promise(() => {}); // or Mage's page would go elsewhere meanwhile
  };
})();
