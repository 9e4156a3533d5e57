// What is shown of numbers, states and problems.

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

export function when(text) {
  const time = new Date(text);
  const today = time.toDateString() === new Date().toDateString();
  return time.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export const exactly = (text) => new Date(text).toLocaleTimeString([], { timeStyle: "medium" });

export const short = (digest) => (digest ? digest.slice(0, 19) : "");

export const STATES = {
  receiving: ["receiving", "live"], queued: ["waiting", ""], running: ["pushing", "live"],
  succeeded: ["landed", "good"], failed: ["failed", "bad"], cancelled: ["cancelled", "warn"],
  pending: ["waiting", ""], pushing: ["pushing", "live"], pushed: ["landed", "good"],
  already_present: ["was there", "good"], skipped: ["skipped", "warn"], planned: ["ready to push", "live"],
};

export const ENDED = new Set(["succeeded", "failed", "cancelled"]);

export function stateOf(job) {
  if (job.state === "succeeded" && isLook(job)) return ["looked at", "good"];
  if (job.state === "succeeded" && isSkipped(job)) return STATES.skipped;
  if (job.state === "running" && isLook(job)) return ["looking", "live"];
  return STATES[job.state] || [job.state, ""];
}

// Other images have all its names, and stay.
const isSkipped = ({ progress }) => progress.images_total > 0 && progress.images_skipped === progress.images_total;

// What became of the images, each kind by itself: "2 landed, 1 was there, 1 skipped".
export function outcomes({ images_pushed, images_present, images_skipped, images_failed }) {
  const counts = [[images_pushed, "pushed"], [images_present, "already_present"], [images_skipped, "skipped"], [images_failed, "failed"]];
  return counts.filter(([count]) => count > 0).map(([count, state]) => `${count} ${STATES[state][0]}`).join(", ");
}

export const isLook = (job) => job.dry_run;

// As the service shows it: a mark that turns the direction of writing would lie about how a name ends.
export const visible = (name) => name.replace(/\p{C}/gu, "_");

export const titleOf = (job) => {
  const names = job.archives.map((archive) => archive.name);
  if (names.length === 0) return "archive";
  return names.length > 2 ? `${names[0]} and ${names.length - 1} more` : names.join(", ");
};

// What to do about a problem, by its stable code. The detail already says what and where.
const ADVICE = {
  missing_tag: "Under Options, give it a name and send it again; or choose to look inside first, and name it there.",
  destination_conflict: "Look inside first, and give one of the two another name.",
  single_image_required: "Leave the name for a single image empty, or look inside first and pick one image.",
  tag_exists: "Choose another name, or let the tag be overwritten.",
  unknown_format: "Check that this is the right file, and that it came over whole.",
  truncated_archive: "Bring the archive over again; this copy ends too early.",
  digest_mismatch: "Bring the archive over again; this copy is damaged.",
  checksum_mismatch: "Bring the archive over again; this is not the file the checksum is of.",
  missing_content: "Have the archive made again, with everything in it.",
  registry_unreachable: "Check that the registry runs and can be reached, then retry.",
  registry_tls: "The operator has to configure the registry's certificate authority.",
  registry_auth: "The operator has to check the user name and password for the registry.",
  registry_denied: "Push under another prefix, or have the right to push there granted.",
  spool_full: "Delete failed jobs, or make room on the server, then send it again.",
  upload_incomplete: "Choose the same file once more: it goes on where it stopped.",
  unauthorized: "A valid token is needed. Enter one with the button Token at the top.",
  forbidden: "Use a token that may.",
  interrupted: "Retry: what has landed is not sent again.",
  internal: "This is a fault of Tarmac. Its log says more.",
};

// Both, as sentences.
export function told(problem) {
  const what = advice(problem);
  if (problem.code === "unauthorized") return what; // its detail is for those who send a header
  const detail = problem.detail.endsWith(".") ? problem.detail : `${problem.detail}.`;
  return what ? `${detail} ${what}` : detail;
}

export const advice = (problem) => ADVICE[problem.code] || (problem.retryable ? "Retry: the reason may have passed." : "");
