// How numbers, times, states and problems are shown.

import { has, language, t } from "./texts.js";

const UNITS = ["B", "KB", "MB", "GB", "TB"];

export function bytes(count) {
  let unit = 0;
  while (count >= 1000 && unit < UNITS.length - 1) { count /= 1000; unit += 1; }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// Intl objects cost more than their use, so each is made once.
const TODAY = new Intl.DateTimeFormat(language, { timeStyle: "short" });
const EARLIER = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const SECONDS = new Intl.DateTimeFormat(language, { timeStyle: "medium" });

export function when(text) {
  const time = new Date(text);
  return (time.toDateString() === new Date().toDateString() ? TODAY : EARLIER).format(time);
}

export const exactly = (text) => SECONDS.format(new Date(text));

export const short = (digest) => (digest ? digest.slice(0, 19) : "");

const KINDS = {
  receiving: "live", running: "live", succeeded: "good", failed: "bad", cancelled: "warn", pushing: "live", pushed: "good",
  already_present: "good", present: "good", skipped: "warn", planned: "live", needs_decision: "warn", left_out: "", expected: "",
};

// The text of a state or outcome, its colour and its key.
export const labelOf = (state) => [has(`state.${state}`) ? t(`state.${state}`) : state, KINDS[state] || "", state];

export const ENDED = new Set(["succeeded", "failed", "cancelled"]);
export const isActive = (job) => !ENDED.has(job.state);

// Those that a decision of the user mends: the archive itself is whole.
export const DECISIONS = new Set(["missing_tag", "destination_conflict", "single_image_required", "tag_exists", "invalid_reference", "forbidden"]);

export function stateOf(job) {
  if (job.state === "succeeded" && isLook(job)) return [t("state.reviewed"), "good", "reviewed"];
  if (job.state === "succeeded" && isSkipped(job)) return labelOf("skipped");
  if (job.state === "running" && isLook(job)) return [t("state.reviewing"), "live", "reviewing"];
  if (job.waiting_for) return [t("state.waiting_registry"), "warn", "waiting_registry"];
  return labelOf(job.state);
}

// Other images have all its names, and stay.
const isSkipped = ({ progress }) => progress.images_total > 0 && progress.images_skipped === progress.images_total;

// The number of images by outcome: "2 pushed, 1 already there, 1 skipped".
export function outcomes({ images_pushed, images_present, images_skipped, images_failed }) {
  return counted({ pushed: images_pushed, already_present: images_present, skipped: images_skipped, failed: images_failed });
}

export const counted = (counts) => Object.entries(counts).filter(([, count]) => count > 0)
  .map(([state, count]) => `${count} ${labelOf(state)[0]}`).join(", ");

export const isLook = (job) => job.dry_run;

// As the service shows it: a character that changes the direction of text would hide how a name ends.
export const visible = (name) => name.replace(/\p{C}/gu, "_");

export const titleOf = (job) => {
  const names = job.archives.map((archive) => archive.path || archive.name);
  if (names.length === 0) return t("job.archive");
  return names.length > 2 ? t("job.and_more", { name: names[0], n: (job.archives_total || names.length) - 1 }) : names.join(", ");
};

export const sizeOf = (job) => job.archives.reduce((sum, archive) => sum + archive.size, 0);

// What to do about a problem, by its stable code. The detail already says what and where.
export function advice(problem) {
  if (has(`advice.${problem.code}`)) return t(`advice.${problem.code}`);
  return problem.retryable ? t("advice.retry") : "";
}

// Detail and advice as sentences.
export function told(problem) {
  const what = advice(problem);
  if (problem.code === "unauthorized") return what; // its detail is about HTTP headers
  const detail = problem.detail || problem.title;
  const sentence = /[.!?]$/.test(detail) ? detail : `${detail}.`;
  return what ? `${sentence} ${what}` : sentence;
}
