// The ballot: consent, one comparison after another, a CSV at the end. It reads window.STUDY
// (trials.js) and asks no server for anything. Its whole state is one entry in localStorage.
"use strict";

(() => {
  const COLUMNS = ["study", "source", "rater", "form", "place", "trial", "question", "position",
    "clip", "seconds"];
  const STUDY = window.STUDY;
  const STORE = `study-${STUDY.study}`;
  const LETTERS = "ABCDEFGH";
  const $ = (id) => document.getElementById(id);
  let appeared = 0; // when the trial on the page came up, ms

  const random = (count) => crypto.getRandomValues(new Uint32Array(count));

  function fresh() {
    // ?form=3 lets whoever invites the raters hand the forms out in turn.
    const asked = Number.parseInt(new URLSearchParams(location.search).get("form"), 10);
    const forms = STUDY.forms.length;
    const form = asked >= 0 && asked < forms ? asked : random(1)[0] % forms;
    const rater = [...random(8)].map((n) => "abcdefghjkmnpqrstuvwxyz23456789"[n % 31]).join("");
    return { rater, form, agreed: false, answers: [], draft: {}, played: [] };
  }

  function load() {
    try {
      const state = JSON.parse(localStorage.getItem(STORE));
      if (state && state.form < STUDY.forms.length && Array.isArray(state.answers)) return state;
    } catch { /* no memory, or not ours: a fresh ballot */ }
    return fresh();
  }

  function keep() {
    try {
      localStorage.setItem(STORE, JSON.stringify(state));
    } catch {
      $("memory").textContent =
        "This browser keeps nothing: leave the page open until you have saved your answers.";
    }
  }

  let state = load();
  const questions = Object.entries(STUDY.questions);
  const form = () => STUDY.forms[state.form];
  const place = () => state.answers.length;

  function clipsAt(at) {
    const [name, turn] = form()[at];
    const trial = STUDY.trials[name];
    const clips = trial.clips.slice(turn).concat(trial.clips.slice(0, turn));
    return { name, clips, reference: trial.reference };
  }

  function element(kind, settings = {}, ...children) {
    const made = Object.assign(document.createElement(kind), settings);
    made.append(...children);
    return made;
  }

  // A button of our own: native controls would lie over the chin.
  function figure(clip, label, kind) {
    const mark = element("span", { className: "heard" });
    const video = element("video", { src: `clips/${clip}.mp4`, playsInline: true, preload: "auto" });
    const button = element("button", { type: "button", className: "plain" }, `Play ${label}`);
    video.setAttribute("aria-label", label);
    video.disablePictureInPicture = true;
    button.dataset.clip = clip;
    button.dataset.label = label;
    const played = () => { mark.textContent = state.played.includes(clip) ? " – played" : ""; };
    const play = () => {
      for (const other of document.querySelectorAll("video")) other.pause();
      video.currentTime = 0;
      video.play().catch(() => { /* what cannot be loaded says so below */ });
    };
    button.addEventListener("click", play);
    video.addEventListener("click", play);
    video.addEventListener("ended", () => {
      if (!state.played.includes(clip)) state.played.push(clip);
      played();
      keep();
    });
    video.addEventListener("error", () => {
      $("problem").textContent = `${label} cannot be loaded: reload the page.`;
    });
    played();
    const caption = element("figcaption", {}, label, mark);
    return element("figure", { className: kind }, caption, video, button);
  }

  function fieldset([name, words], clips) {
    const group = element("fieldset", { id: `question-${name}` }, element("legend", {}, words));
    clips.forEach((clip, at) => {
      const radio = element("input", { type: "radio", name, value: clip });
      radio.id = `${name}-${LETTERS[at]}`;
      radio.checked = state.draft[name]?.clip === clip;
      radio.addEventListener("change", () => {
        const seconds = (performance.now() - appeared) / 1000;
        state.draft[name] = { clip, position: at, seconds: seconds.toFixed(1) };
        keep();
      });
      group.append(element("label", { htmlFor: radio.id }, radio, ` Clip ${LETTERS[at]}`));
    });
    return group;
  }

  function show() {
    const done = place() >= form().length;
    const section = !state.agreed ? "consent" : done ? "end" : "trial";
    for (const id of ["consent", "trial", "end"]) $(id).hidden = id !== section;
    $("withdraw-line").hidden = !state.agreed;
    ({ consent, trial, end })[section]();
    $(`${section}-title`).focus();
    window.scrollTo(0, 0);
  }

  function consent() {
    const seconds = form().reduce((sum, [name]) => {
      const { clips, seconds } = STUDY.trials[name];
      return sum + (clips.length + 1) * seconds + 12; // 12 s to answer and go on
    }, 0);
    $("count").textContent = String(form().length);
    $("minutes").textContent = String(Math.max(1, Math.round(seconds / 60)));
  }

  function trial() {
    const { clips, reference } = clipsAt(place());
    appeared = performance.now();
    $("trial-title").textContent = `Comparison ${place() + 1} of ${form().length}`;
    Object.assign($("progress"), { max: form().length, value: place() });
    $("problem").textContent = "";
    $("clips").replaceChildren(
      ...clips.map((clip, at) => figure(clip, `clip ${LETTERS[at]}`, "candidate")),
      figure(reference, "real recording", "reference"),
    );
    $("questions").replaceChildren(...questions.map((question) => fieldset(question, clips)));
  }

  function end() {
    const lines = state.answers.flatMap(({ trial, given }, at) => questions.map(([name]) => {
      const { clip, position, seconds } = given[name];
      return [STUDY.study, "person", state.rater, state.form, at, trial, name, position, clip,
        seconds].join(",");
    }));
    const csv = [COLUMNS.join(","), ...lines, ""].join("\n");
    $("csv").value = csv;
    $("code").textContent = state.rater;
    $("download").href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    $("download").download = `answers-${STUDY.study}-${state.rater}.csv`;
  }

  function refuse(words, target) {
    $("problem").textContent = words;
    target.focus();
  }

  $("consent-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("agree").checked) {
      $("consent-problem").textContent = "Tick the box first, if you want to take part.";
      $("agree").focus();
      return;
    }
    state.agreed = true;
    keep();
    show();
  });

  $("answers").addEventListener("submit", (event) => {
    event.preventDefault();
    const unseen = [...document.querySelectorAll("figure button")]
      .find((button) => !state.played.includes(button.dataset.clip));
    if (unseen) return refuse(`Play ${unseen.dataset.label} to its end first.`, unseen);
    const open = questions.find(([name]) => !state.draft[name]);
    if (open) return refuse(`Answer first: ${open[1]}`, $(`${open[0]}-A`));
    state.answers.push({ trial: clipsAt(place()).name, given: state.draft });
    Object.assign(state, { draft: {}, played: [] });
    keep();
    show();
  });

  $("withdraw").addEventListener("click", () => {
    $("sure").returnValue = "";
    $("sure").showModal();
  });
  $("sure").addEventListener("close", () => {
    if ($("sure").returnValue !== "yes") return;
    try { localStorage.removeItem(STORE); } catch { /* nothing was kept */ }
    state = fresh();
    $("agree").checked = false;
    show();
  });

  show();
})();
