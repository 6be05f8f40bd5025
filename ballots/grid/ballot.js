// The ballot: consent, one comparison after another, a CSV at the end. It reads window.STUDY
// (trials.js) and asks no server for anything. Each ballot that was begun is one entry in
// localStorage, named by study and rater. A change is made to what that entry says by then, so
// that two tabs with one ballot lose nothing; sessionStorage says which ballot this tab shows.
"use strict";

(() => {
  const COLUMNS = ["study", "source", "rater", "form", "place", "trial", "question", "position",
    "clip", "seconds"];
  const STUDY = window.STUDY;
  const STORE = `study-${STUDY.study}-`;
  const LETTERS = "ABCDEFGH";
  const CODE = "bcdfghjkmnpqstwz"; // no digit, no vowel: to a spreadsheet it is a word
  const $ = (id) => document.getElementById(id);
  const questions = Object.entries(STUDY.questions);
  const asked = formOfLink();
  let appeared = 0; // when the trial on the page came up, ms
  let anew = false; // somebody said that no ballot of this browser is theirs
  let lasting = true; // what is written can be read again
  let state;

  const form = () => STUDY.forms[state.form];
  const place = () => state.answers.length;
  const done = ({ form, answers }) => answers.length >= STUDY.forms[form].length;
  const random = (count) => crypto.getRandomValues(new Uint32Array(count));

  // ?form=3 lets whoever invites the raters hand the forms out in turn.
  function formOfLink() {
    const text = new URLSearchParams(location.search).get("form");
    if (text === null) return null;
    if (/^\d+$/.test(text) && Number(text) < STUDY.forms.length) return Number(text);
    $("link").textContent = `This link asks for form ${text}, but forms are numbered from 0 to ` +
      `${STUDY.forms.length - 1}: one was drawn. Tell the person who invited you.`;
    return null;
  }

  function fresh() {
    const form = asked ?? random(1)[0] % STUDY.forms.length;
    const rater = [...random(8)].map((n) => CODE[n % CODE.length]).join("");
    return { rater, form, agreed: false, saved: false, answers: [], draft: {}, played: [] };
  }

  // A browser may forbid storage altogether: then a page lives as long as its tab.
  function attempt(act) {
    try { return act(); } catch { return null; }
  }

  function stored(rater) {
    const found = attempt(() => JSON.parse(localStorage.getItem(STORE + rater)));
    const ours = found && found.form < STUDY.forms.length && Array.isArray(found.answers);
    return ours ? found : null;
  }

  // The ballots of this browser that the link may mean: all, or those of its form.
  function kept() {
    const names = attempt(() => Object.keys(localStorage)) ?? [];
    return names.filter((name) => name.startsWith(STORE))
      .map((name) => stored(name.slice(STORE.length)))
      .filter((ballot) => ballot && (asked === null || ballot.form === asked));
  }

  function keep() {
    attempt(() => sessionStorage.setItem(STORE, state.rater));
    const text = JSON.stringify(state);
    lasting = attempt(() => localStorage.setItem(STORE + state.rater, text)) !== null;
    if (!lasting) {
      $("memory").textContent =
        "This browser keeps nothing: leave the page open until you have saved your answers.";
    }
  }

  // Takes over what another tab did. False, and the page goes on where that tab is, if the
  // comparison on this page was answered there.
  function current() {
    const before = place();
    const other = lasting ? stored(state.rater) : null;
    if (other && other.answers.length >= before) state = other;
    if (place() === before) return true;
    show();
    $("problem").textContent = "That comparison is answered, in another tab: go on with this one.";
    return false;
  }

  function change(alter) {
    if (!current()) return;
    alter();
    keep();
  }

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
    const play = () => {
      for (const other of document.querySelectorAll("video")) other.pause();
      video.currentTime = 0;
      video.play().catch(() => { /* what cannot be loaded says so below */ });
    };
    button.addEventListener("click", play);
    video.addEventListener("click", play);
    video.addEventListener("ended", () => {
      change(() => { if (!state.played.includes(clip)) state.played.push(clip); });
      marks();
    });
    video.addEventListener("error", () => {
      $("problem").textContent = `${label} cannot be loaded: reload the page.`;
    });
    const caption = element("figcaption", {}, label, mark);
    return element("figure", { className: kind }, caption, video, button);
  }

  function fieldset([name, words], clips) {
    const group = element("fieldset", { id: `question-${name}` }, element("legend", {}, words));
    clips.forEach((clip, at) => {
      const radio = element("input", { type: "radio", name, value: clip });
      radio.id = `${name}-${LETTERS[at]}`;
      radio.addEventListener("change", () => {
        // Whole seconds: to a spreadsheet 7.9 may be a date.
        const seconds = Math.round((performance.now() - appeared) / 1000);
        change(() => { state.draft[name] = { clip, position: at, seconds }; });
      });
      group.append(element("label", { htmlFor: radio.id }, radio, ` Clip ${LETTERS[at]}`));
    });
    return group;
  }

  // What has been played and chosen so far, in this tab or another.
  function marks() {
    for (const button of document.querySelectorAll("figure button")) {
      const heard = state.played.includes(button.dataset.clip);
      button.parentElement.querySelector(".heard").textContent = heard ? " – played" : "";
    }
    for (const radio of document.querySelectorAll("fieldset input")) {
      radio.checked = state.draft[radio.name]?.clip === radio.value;
    }
  }

  // What this tab showed before it was loaded again, unless that rater is through. On a new visit
  // a half-done ballot is asked about, and after a finished one the next rater begins with consent.
  function begin() {
    const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
    const shown = again && attempt(() => sessionStorage.getItem(STORE));
    state = (shown && kept().find((b) => b.rater === shown && !b.saved)) || fresh();
    show();
  }

  function leave() {
    attempt(() => sessionStorage.removeItem(STORE));
    state = fresh();
    $("agree").checked = false;
    $("consent-problem").textContent = "";
    show();
  }

  function resume(ballot) {
    state = stored(ballot.rater) ?? ballot;
    keep();
    show();
  }

  const halves = () => (anew ? [] : kept().filter((ballot) => !done(ballot)));

  function show() {
    const half = halves().length > 0;
    const section = state.agreed ? (done(state) ? "end" : "trial") : half ? "whose" : "consent";
    for (const id of ["whose", "consent", "trial", "end"]) $(id).hidden = id !== section;
    $("rater-line").hidden = !state.agreed;
    $("rater").textContent = state.rater;
    ({ whose, consent, trial, end })[section]();
    $(`${section}-title`).focus();
    window.scrollTo(0, 0);
  }

  function choice(ballot, words) {
    const button = element("button", { type: "button", className: "plain" }, words);
    button.dataset.rater = ballot.rater;
    button.addEventListener("click", () => resume(ballot));
    return element("p", {}, button);
  }

  function whose() {
    $("halves").replaceChildren(...halves().map((ballot) => choice(ballot, `Go on as ` +
      `${ballot.rater}: ${ballot.answers.length} of ${STUDY.forms[ballot.form].length} ` +
      "comparisons are done")));
  }

  function consent() {
    const seconds = form().reduce((sum, [name]) => {
      const { clips, seconds } = STUDY.trials[name];
      return sum + (clips.length + 1) * seconds + 12; // 12 s to answer and go on
    }, 0);
    $("count").textContent = String(form().length);
    $("minutes").textContent = String(Math.max(1, Math.round(seconds / 60)));
    const before = kept().filter(done);
    $("finished").hidden = before.length === 0;
    $("finished").open = before.some(({ saved }) => !saved);
    $("finished-ballots").replaceChildren(...before.map((ballot) => choice(ballot,
      `I am ${ballot.rater}: show my answers${ballot.saved ? " again" : ", to save them"}`)));
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
    marks();
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

  $("other").addEventListener("click", () => {
    anew = true;
    show();
  });

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
    if (!current()) return;
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

  $("download").addEventListener("click", () => change(() => { state.saved = true; }));

  $("next-rater").addEventListener("click", () => {
    anew = true;
    leave();
  });

  $("withdraw").addEventListener("click", () => {
    $("sure").returnValue = "";
    $("sure").showModal();
  });
  $("sure").addEventListener("close", () => {
    if ($("sure").returnValue !== "yes") return;
    attempt(() => localStorage.removeItem(STORE + state.rater));
    leave();
  });

  // Another tab changed what this browser keeps.
  window.addEventListener("storage", ({ key, newValue }) => {
    if (key === STORE + state.rater && newValue === null) return leave(); // withdrawn there
    if (state.agreed) return current() && marks();
    const asking = !$("whose").hidden;
    if (asking !== halves().length > 0) show();
    else if (asking) whose();
  });

  begin();
})();
