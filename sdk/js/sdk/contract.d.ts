// The contract of sdk/wit in the types that policies see. Texts that are absent are null, times are milliseconds.

/** The kind of trouble. */
export type Class = 'throttled' | 'quota' | 'transient' | 'auth' | 'permanent';

/** A failed attempt. */
export interface Failure {
  platform: string;
  endpoint: string;
  /** How far the call got; the first two may have been carried out. */
  kind: 'timeout' | 'connection' | 'response';
  /** Which attempt failed: 1 is the first. */
  attempt: number;
  /** Since the first attempt began. */
  elapsedMs: number;
  /** When it failed, since 1970: a policy has no clock of its own. */
  atMs: number;
  /** The HTTP status, where an answer came. */
  status: number | null;
  /** The platform's error code: always a text. */
  code: string | null;
  subCode: string | null;
  /** The platform's words. */
  message: string | null;
  /** Chosen headers of the answer, names in lower case. */
  headers: [string, string][];
  /** The wait that a Retry-After header asked for. */
  retryAfterMs: number | null;
}

/** What to do about a failure; made by `retry`, `giveUp` and `abstain` of ./retry.js. */
export interface RetryVerdict {
  action: 'retry' | 'give-up' | 'default';
  class?: Class;
  afterMs?: number;
  reason?: string;
}

/** Figures of a window; rates are fractions of 1. */
export interface Stats {
  count: number;
  success: number;
  errors: number;
  limited: number;
  totalMs: number;
  errorRate: number;
  successRate: number;
  limitedRate: number;
  rps: number;
  p50: number;
  p95: number;
  p99: number;
  fromMs: number;
  toMs: number;
}

/** One platform, or one of its endpoints, over the rule's window. */
export interface Snapshot {
  platform: string;
  endpoint: string | null;
  stats: Stats;
}

/** Whether a condition holds; made by `firing` and `quiet` of ./alert.js. */
export type AlertVerdict = { tag: 'quiet' } | { tag: 'firing'; val: string | null };

/** A request that is about to be sent to a platform. */
export interface Request {
  platform: string;
  endpoint: string;
  /** In upper case. */
  method: string;
  /** When it came, since 1970. */
  atMs: number;
  /** Chosen headers, names in lower case. */
  headers: [string, string][];
  /** What the gateway knows of it, such as the seller or the tenant. */
  labels: [string, string][];
}

/** How a request goes; made by `allow`, `deny` and `abstain` of ./admit.js. */
export type Admission =
  | { tag: 'default' }
  | { tag: 'allow'; val: { cost: number; scope: [string, string][] } }
  | { tag: 'deny'; val: { reason: string; status: number } };

/** The state of a limit as the host last heard of it. */
export interface LimitState {
  /** Whole tokens there now; negative where calls wait for them. */
  available: number;
  burst: number;
  /** Tokens a second. */
  rate: number;
  /** Until the burst is whole again. */
  fullInMs: number;
}

/** What the host offers, read from memory; the second argument of every policy. */
export interface Host {
  /** Figures of the platform (in an alert, of the snapshot's scope) over the last `rangeMs`. */
  window(rangeMs: number): Stats;
  /** The limit of that name, null where there is none. */
  limit(name: string): LimitState | null;
  /** A line in the host's log: at most 16 of 512 bytes a verdict. */
  log(text: string, level?: 'debug' | 'info' | 'warn'): void;
}

/** What `policy.js` exports as `classify`. */
export type Classify = (failure: Failure, host: Host) => RetryVerdict;
/** What `policy.js` exports as `evaluate`. */
export type Evaluate = (snapshot: Snapshot, host: Host) => AlertVerdict;
/** What `policy.js` exports as `admit`. */
export type Admit = (request: Request, host: Host) => Admission;
/** What `policy.js` may export as `configure`: called once before anything else; what it throws refuses the policy. */
export type Configure = (settings: Record<string, string | number | boolean>) => void;
