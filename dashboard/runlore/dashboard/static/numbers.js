// Numbers as axis labels.
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

// Four digits, and more where four would make it look whole.
export function shortNumber(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const cuts = [4, 8, 12].map((digits) => Number(value.toPrecision(digits)));
  return String(cuts.find((cut) => !Number.isInteger(cut) || Math.abs(value) >= 1e15) ?? value);
}

export function sizeText(bytes) {
  const magnitude = Math.floor(Math.log10(Math.max(1, Math.abs(bytes))) / 3);
  const unit = Math.min(UNITS.length - 1, Math.max(0, magnitude));
  return `${(bytes / 1000 ** unit).toFixed(unit ? 1 : 0)} ${UNITS[unit]}`;
}
