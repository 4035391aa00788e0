// What the page does beside htmx: keys, scrolling, copying, the choices that the browser remembers, and saying so when
// the server is gone. htmx sends the message and puts what comes back into its place.
"use strict";
(() => {
  const form = document.getElementById("composer");
  const text = document.getElementById("text");
  const think = document.getElementById("think");
  const conversation = document.getElementById("conversation");

  const remember = (key, value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // Forbidden storage forgets, and nothing else breaks.
    }
  };
  const recall = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  };

  const paused = () => document.querySelector(".status > .paused") !== null;
  const answering = () => document.querySelector(".answer > .status") !== null;

  // The composer

  const touch = matchMedia("(pointer: coarse)").matches;
  const grows = CSS.supports("field-sizing", "content");
  const fit = () => {
    if (grows) return;
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  };
  text.addEventListener("input", fit);
  text.addEventListener("keydown", (event) => {
    // With an input method open, Enter chooses a word; on a touch screen it is the only way to a new line.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
    event.preventDefault();
    if (!answering() && text.value.trim() !== "") form.requestSubmit();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && answering() && !paused()) document.getElementById("stop").click();
  });

  document.addEventListener("htmx:config:request", (event) => {
    const ctx = event.detail.ctx;
    if (ctx.sourceElement !== form) return;
    const example = ctx.request.body.get("example");
    if (answering() || (!example && text.value.trim() === "")) event.preventDefault();
  });
  document.addEventListener("htmx:after:request", (event) => {
    const ctx = event.detail.ctx;
    if (ctx.sourceElement !== form || ctx.response.status !== 200) return;
    for (const notice of conversation.querySelectorAll(":scope > .notice")) notice.remove();
    text.value = "";
    fit();
    text.focus();
    follow = growing = true;
  });
  document.addEventListener("htmx:error", (event) => {
    if (event.detail.ctx?.sourceElement === form) show(document.getElementById("unsent"), conversation);
  });

  const show = (template, place) => {
    place.querySelector(":scope > .notice:last-child")?.remove();
    place.append(template.content.cloneNode(true));
  };

  // What was said is not to be typed again.
  const give_back = (answer) => {
    const question = answer.previousElementSibling;
    if (text.value === "" && question?.matches(".question")) {
      text.value = question.textContent;
      fit();
    }
  };

  // The answer

  document.addEventListener("thought", (event) => {
    const fold = event.target.querySelector("details.thinking");
    if (fold && fold.dataset.touched === undefined) fold.open = false;
  });
  // Of pause and resume one takes the other's place, and its focus.
  new MutationObserver(() => {
    const [from, to] = paused() ? ["pause", "resume"] : ["resume", "pause"];
    const active = document.activeElement;
    if (answering() && (active?.id === from || (active === document.body && pressed === from))) document.getElementById(to).focus();
    pressed = null;
  }).observe(conversation, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
  let pressed = null;
  for (const id of ["pause", "resume"]) document.getElementById(id).addEventListener("click", () => { pressed = id; });
  document.addEventListener("failed", (event) => give_back(event.target));
  // The answer goes on whoever follows it. A stream that breaks is taken up again where it was; the page says so if that
  // does not work at once.
  const lost = (answer) => answer.querySelector(":scope > .notice");
  document.addEventListener("htmx:sse:error", (event) => {
    const answer = event.target;
    if (!leaving && event.detail.connection?.attempt > 0 && !lost(answer)) show(document.getElementById("lost"), answer);
  });
  document.addEventListener("htmx:sse:after:connection", (event) => lost(event.target)?.remove());
  // The first request of a stream is htmx's own, which does not try again.
  for (const failure of ["htmx:error", "htmx:response:error"]) {
    document.addEventListener(failure, (event) => {
      const answer = event.detail.ctx?.sourceElement;
      if (leaving || !answer?.matches(".answer[aria-busy]")) return;
      if (!lost(answer)) show(document.getElementById("lost"), answer);
      setTimeout(() => htmx.process(answer), 2000);
    });
  }
  document.addEventListener("htmx:sse:close", (event) => {
    const answer = event.target;
    if (!answer.matches?.(".answer") || event.detail.reason !== "message") return;
    answer.removeAttribute("aria-busy");
    // The stop button, if it was pressed, is gone now and has left the focus nowhere.
    if (!touch && (document.activeElement === document.body || document.activeElement?.id === "stop")) text.focus();
  });
  let leaving = false;
  addEventListener("pagehide", () => { leaving = true; });
  addEventListener("pageshow", (event) => {
    leaving = false;
    // Brought back as it was left, with a stream that nobody writes to any more.
    if (event.persisted && answering()) location.reload();
  });

  document.addEventListener("click", (event) => {
    const summary = event.target.closest("details.thinking > summary");
    if (summary) summary.parentElement.dataset.touched = "";
    const button = event.target.closest("button.copy");
    if (button) copy(button);
  });
  const copy = async (button) => {
    const source = button.dataset.copy === "answer" ? button.closest(".answer").querySelector(".text") : button.parentElement.querySelector("code");
    // innerText is what is seen, so the buttons within an answer are left out by hiding them from it.
    const buttons = button.dataset.copy === "answer" ? [...source.querySelectorAll("button")] : [];
    for (const inner of buttons) inner.hidden = true;
    const copied = source.innerText;
    for (const inner of buttons) inner.hidden = false;
    try {
      await navigator.clipboard.writeText(copied);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };

  // Scrolling follows the answer until the reader scrolls up, and again once they are back at the end.

  const page = document.scrollingElement;
  const near = 80;
  let follow = true;
  let last_top = page.scrollTop;
  const at_end = () => page.scrollHeight - page.scrollTop - innerHeight < near;
  const to_end = () => { page.scrollTop = page.scrollHeight; };
  addEventListener("scroll", () => {
    if (page.scrollTop < last_top) follow = at_end();
    else if (at_end()) follow = true;
    last_top = page.scrollTop;
  }, { passive: true });
  // Otherwise what grows is a fold that the reader opened.
  let growing = true;
  new ResizeObserver(() => {
    if (follow && growing) to_end();
    growing = answering();
  }).observe(conversation);

  // Choices

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember("theme", root.dataset.theme);
  });
  think.checked = recall("think") !== "no";
  think.addEventListener("change", () => remember("think", think.checked ? "yes" : "no"));

  if (!touch) text.focus();
})();
