/* The part of an address behind "#" is sent to no server: it goes on with the person by this. */
{
  const button = document.querySelector("a.microsoft");
  const start = new URL(button.href);
  const next = (start.searchParams.get("next") || button.dataset.frontPage) + location.hash;
  if (location.hash.length > 1 && next.length <= 2048) {
    start.searchParams.set("next", next);
    button.href = start.href;
  }
}
