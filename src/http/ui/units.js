// Numbers as people read them.

const NONE = "–";
const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

function digits(value) {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** 1234567 → 1.23 M */
export function count(value) {
  if (!known(value)) return NONE;
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (Math.abs(value) >= size) {
      const of = unit === "k" ? 1e3 : size;
      return `${digits(value / of)} ${unit}`;
    }
  }
  return Number.isInteger(value) || Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : digits(value);
}

export const rate = (value) => (known(value) ? `${count(value)}/s` : NONE);

/** 0.9312 → 93.1 % */
export function ratio(value) {
  if (!known(value)) return NONE;
  const percent = value * 100;
  return `${percent >= 99.95 || percent === 0 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

export function bytes(value) {
  if (!known(value)) return NONE;
  for (const [unit, size] of [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (value >= size) return `${digits(value / size)} ${unit}`;
  }
  return `${Math.round(value)} B`;
}

/** Microseconds, in the unit that suits. */
export function micros(value) {
  if (!known(value)) return NONE;
  if (value >= 60e6) return span(value / 1e6);
  if (value >= 1e6) return `${digits(value / 1e6)} s`;
  if (value >= 1e3) return `${digits(value / 1e3)} ms`;
  return `${digits(value)} µs`;
}

export const millis = (value) => (known(value) ? micros(value * 1e3) : NONE);

/** Seconds as a span: 3 d 4 h. */
export function span(seconds) {
  if (!known(seconds)) return NONE;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

const two = (number) => String(number).padStart(2, "0");

/** A moment of today, in the reader's zone; the date with it when it is another day. */
export function clock(ms, seconds = true) {
  const time = new Date(ms);
  const text = `${two(time.getHours())}:${two(time.getMinutes())}${seconds ? `:${two(time.getSeconds())}` : ""}`;
  const today = time.toDateString() === new Date().toDateString();
  return today ? text : `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${text}`;
}

/** How a value of a unit is written. */
export const written = { rate, ratio, bytes, micros, count };
