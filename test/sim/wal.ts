// The write-ahead log of one data directory. Truth is kept in *branches*: every promotion begins one of its own,
// whatever number PostgreSQL gives its timeline. LSNs are small numbers here.

export interface Piece {
  readonly branch: number;
  readonly timeline: number;
  /** The first position after `from` up to `to`. */
  readonly from: number;
  readonly to: number;
}

/** Oldest first, without gaps. */
export type Wal = readonly Piece[];

export function endOf(wal: Wal): { readonly timeline: number; readonly lsn: number } {
  const last = wal.at(-1);
  return { timeline: last?.timeline ?? 1, lsn: last?.to ?? 0 };
}

export function contains(wal: Wal, branch: number, lsn: number): boolean {
  return wal.some((piece) => piece.branch === branch && piece.from < lsn && lsn <= piece.to);
}

/** One more record. */
export function appended(wal: Wal, records = 1): Wal {
  const last = wal.at(-1);
  return last ? [...wal.slice(0, -1), { ...last, to: last.to + records }] : wal;
}

/** After a promotion. */
export function branched(wal: Wal, branch: number, timeline: number): Wal {
  const { lsn } = endOf(wal);
  return [...wal, { branch, timeline, from: lsn, to: lsn }];
}

/** What one gets who has `own` and streams from `source`, as PostgreSQL decides it: by numbers alone. */
export function streamed(own: Wal, source: Wal, records: number): Wal | "refused" {
  const { timeline, lsn } = endOf(own);
  const at = source.findLastIndex((piece) => piece.timeline === timeline);
  const same = source[at];
  if (!same || lsn > same.to || lsn < same.from) return "refused";
  const wanted: Piece[] = [];
  let left = records;
  for (const piece of source.slice(at)) {
    const from = Math.max(piece.from, piece === same ? lsn : piece.from);
    const to = Math.min(piece.to, from + left);
    if (to > from || (piece !== same && left > 0)) wanted.push({ ...piece, from, to });
    left -= to - from;
    if (to < piece.to) break;
  }
  return wanted.reduce(joined, own);
}

function joined(wal: Wal, piece: Piece): Wal {
  const last = wal.at(-1);
  const goesOn = last?.branch === piece.branch && last.to === piece.from;
  return goesOn ? [...wal.slice(0, -1), { ...last, to: piece.to }] : [...wal, piece];
}

/** What pg_rewind leaves of `own`: the part that it shares with `source`, by numbers, then what `source` has. */
export function rewound(own: Wal, source: Wal): Wal {
  const common = own.filter((piece) => source.some((other) => isSamePlace(piece, other)));
  const { timeline, lsn } = endOf(own);
  const same = source.findLast((piece) => piece.timeline === timeline);
  if (same && lsn <= same.to) return own;
  const fork = common.at(-1);
  const other = fork && source.find((piece) => isSamePlace(fork, piece));
  if (!fork || !other) return source;
  return [...common.slice(0, -1), { ...fork, to: Math.min(fork.to, other.to) }];
}

function isSamePlace(a: Piece, b: Piece): boolean {
  return a.timeline === b.timeline && a.from === b.from;
}

export function lsnText(lsn: number): string {
  return `0/${lsn.toString(16).toUpperCase()}`;
}
