// The board of a class. All text from the server is inserted as text.
"use strict";

const at = (id) => document.getElementById(id);
let board = null; // the newest event
let picks = null; // of the chosen task
let shown = ""; // which task's picks, and of how many people

function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
}

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

const colorOf = (number) => `hsl(${(number * 137.5) % 360} 70% 60%)`;

// ---- session

at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("refused").textContent = "";
  const code = at("code").value.replace(/\W/g, "");
  const reply = await fetch("board/session", {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(`class:${code}`)}` },
  }).catch(() => null);
  if (reply?.ok) open();
  else if (!reply) at("refused").textContent = "The class can't be reached.";
  else at("refused").textContent = await reply.text();
});

function open() {
  const events = new EventSource("board/events");
  events.onopen = () => {
    at("state").textContent = "";
    if (at("board").hidden) at("qr").src = "board/qr.svg";
    at("login").hidden = true;
    at("board").hidden = false;
  };
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => {
    if (at("board").hidden) return events.close(); // there is no session yet
    at("state").textContent = "The class can't be reached; trying again.";
    if (events.readyState === EventSource.CLOSED) setTimeout(open, 2000);
  };
}

open();

// ---- who is where, and scores

function fill(select, options) {
  const before = select.value;
  const same = select.options.length === options.length &&
    options.every(([value], number) => select.options[number].value === value);
  if (same) return;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => value === before)) select.value = before;
}

function show({ join, state }) {
  board = state;
  document.title = `${board.name} – class board`;
  at("name").textContent = board.name;
  at("address").textContent = join.address;
  at("join-code").textContent = join.code;
  fill(at("lesson"), board.lessons.map((lesson) => [lesson.key, lesson.title]));
  showLesson();
}

function showLesson() {
  const lesson = board.lessons.find((each) => each.key === at("lesson").value);
  const steps = lesson?.steps ?? [];
  const heads = element("tr");
  heads.append(element("th", counted(board.students.length, "student")), element("th", "Step"));
  const tasks = steps.filter((step) => step.kind);
  for (const step of tasks) heads.append(element("th", step.title, "task"));
  at("steps").replaceChildren(heads);
  at("students").replaceChildren(...board.students.map((student) => row(student, lesson, steps, tasks)));
  const pickTasks = tasks.filter((step) => step.kind === "pick");
  fill(at("task"), pickTasks.map((step) => [step.key, step.title]));
  at("overlay").hidden = pickTasks.length === 0;
  const task = at("task").value;
  const answered = Object.values(lesson?.rows ?? {}).filter((given) => given[task]).length;
  const wanted = `${at("lesson").value} ${task} ${answered}`;
  if (wanted !== shown && task) load();
  shown = wanted;
}

function row(student, lesson, steps, tasks) {
  const made = element("tr", "", student.is_present ? "" : "away");
  const isHere = lesson && student.position?.lesson === lesson.key;
  const number = steps.findIndex((step) => step.key === student.position?.step);
  let place = "";
  if (isHere) place = number < 0 ? "done" : `${number + 1} of ${steps.length}`;
  made.append(element("td", student.nickname), element("td", place));
  for (const step of tasks) {
    const [score, isRight, attempts] = lesson.rows[student.id]?.[step.key] ?? [];
    const cell = element("td", score === undefined ? "" : `${Math.round(100 * score)} %`, "task");
    if (score !== undefined) {
      cell.classList.add(isRight ? "right" : "wrong");
      cell.title = counted(attempts, "attempt") + (attempts > 1 ? "; the first counts" : "");
    }
    if (isHere && student.position.step === step.key) cell.classList.add("here");
    made.append(cell);
  }
  return made;
}

at("lesson").addEventListener("change", showLesson);

// ---- picks of all

async function load() {
  const path = [at("lesson").value, at("task").value].map(encodeURIComponent).join("/");
  const reply = at("task").value ? await fetch(`board/picks/${path}`).catch(() => null) : null;
  picks = reply?.ok ? await reply.json() : null;
  if (!picks) return;
  const count = picks.people.length;
  at("nobody").hidden = count > 0;
  at("picked").hidden = count === 0;
  at("several").hidden = count < 2;
  at("votes").max = count;
  at("people").textContent = count;
  at("names").replaceChildren(...picks.people.map((person, number) => {
    const name = element("li", person.nickname);
    name.style.setProperty("--own", colorOf(number));
    return name;
  }));
  at("agreement").textContent = picks.agreement === null ? "" :
    `Agreement: ${Math.round(100 * picks.agreement)} % (mean F1 of all pairs)`;
  draw();
}

function draw() {
  const least = Number(at("votes").value);
  at("least").textContent = least;
  if (!picks) return;
  const canvas = at("picks");
  const pen = canvas.getContext("2d");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * devicePixelRatio;  // which clears it
  canvas.height = height * devicePixelRatio;
  pen.scale(devicePixelRatio, devicePixelRatio);
  const right = at("reference").checked ? picks.reference_zyx_angstrom : [];
  const positions = picks.people.flatMap((person) => person.positions_zyx_angstrom);
  const all = [...positions, ...picks.reference_zyx_angstrom];
  if (!all.length) return;
  const range = (axis) => {
    const values = all.map((point) => point[axis]);
    return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  };
  const [[y0, y1], [x0, x1]] = [range(1), range(2)];
  const margin = 30;
  const scale = Math.min(
    (width - 2 * margin) / Math.max(x1 - x0, 1),
    (height - 2 * margin) / Math.max(y1 - y0, 1),
  );
  const place = (point) => [margin + (point[2] - x0) * scale, margin + (point[1] - y0) * scale];
  const ring = (point, radius, color, width) => {
    pen.beginPath();
    pen.arc(...place(point), radius, 0, 2 * Math.PI);
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.stroke();
  };
  picks.people.forEach((person, number) => {
    pen.fillStyle = colorOf(number);
    for (const point of person.positions_zyx_angstrom) {
      pen.beginPath();
      pen.arc(...place(point), 4, 0, 2 * Math.PI);
      pen.fill();
    }
  });
  picks.agreed_zyx_angstrom.forEach((point, number) => {
    const votes = picks.votes[number];
    if (votes < least) return;
    ring(point, 12, "#fff", 2);
    pen.fillStyle = "#fff";
    pen.font = "14px sans-serif";
    pen.fillText(votes, place(point)[0] + 14, place(point)[1] + 5);
  });
  for (const point of right) ring(point, 18, "#4ade80", 3);
}

addEventListener("resize", draw);
at("votes").addEventListener("input", draw);
at("reference").addEventListener("change", draw);
at("task").addEventListener("change", showLesson);
