// The contract in sdk/wit as TypeScript types. A missing string is null. All times are in milliseconds; points in time
// count from 1970-01-01 UTC.

/** The class of a failure: what caused it and how to handle it. */
export type Class = 'throttled' | 'quota' | 'transient' | 'auth' | 'permanent';

/** A failed attempt to call a platform. */
export interface Failure {
  platform: string;
  endpoint: string;
  /** How the call failed. After a timeout or a broken connection, the platform may have executed the call. */
  kind: 'timeout' | 'connection' | 'response';
  /** The number of the failed attempt; the first is 1. */
  attempt: number;
  /** The time since the start of the first attempt. */
  elapsedMs: number;
  /** The time of the failure. A policy has no clock of its own. */
  atMs: number;
  /** The HTTP status, if a response arrived. */
  status: number | null;
  /** The platform's error code. It is always a string. */
  code: string | null;
  /** The platform's sub code, which refines the error code. */
  subCode: string | null;
  /** The platform's error message. */
  message: string | null;
  /** Selected headers of the response. The names are in lower case. */
  headers: [string, string][];
  /** The delay that the Retry-After header of the response requests. */
  retryAfterMs: number | null;
}

/** The verdict of a retry policy. Use `retry`, `giveUp` and `abstain` of ./retry.js to create one. */
export interface RetryVerdict {
  action: 'retry' | 'give-up' | 'default';
  class?: Class;
  afterMs?: number;
  reason?: string;
}

/**
 * The statistics of a time window. They count attempts: calls that were sent, including retries. `limited` counts
 * those that tidegate's own limit refused; they are not part of `count`. Rates are fractions between 0 and 1, except
 * `rps` (attempts per second).
 */
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

/** The statistics of one platform, or of one of its endpoints, over the window of the alert rule. */
export interface Snapshot {
  platform: string;
  endpoint: string | null;
  stats: Stats;
}

/** The verdict of an alert condition. Use `firing` and `quiet` of ./alert.js to create one. */
export type AlertVerdict = { tag: 'quiet' } | { tag: 'firing'; val: string | null };

/** A request that is about to be sent to a platform. */
export interface Request {
  platform: string;
  endpoint: string;
  /** The HTTP method in upper case. */
  method: string;
  /** The time when the request arrived. */
  atMs: number;
  /** Selected headers of the request. The names are in lower case. */
  headers: [string, string][];
  /** Labels that the gateway attaches to the request, for example the seller or the tenant. */
  labels: [string, string][];
}

/** The verdict of an admission policy. Use `allow`, `deny` and `abstain` of ./admit.js to create one. */
export type Admission =
  | { tag: 'default' }
  | { tag: 'allow'; val: { cost: number; scope: [string, string][] } }
  | { tag: 'deny'; val: { reason: string; status: number } };

/** The last known state of a limit, which is a token bucket. */
export interface LimitStatus {
  /** The number of whole tokens that are available; negative if calls wait for tokens. */
  available: number;
  /** The capacity of the bucket, in tokens. */
  burst: number;
  /** The refill rate, in tokens per second. */
  rate: number;
  /** The time until the bucket is full. */
  fullInMs: number;
}

/** The host functions. Every policy receives them as its second argument. They read from memory. */
export interface Host {
  /**
   * Returns the statistics of the last `rangeMs` milliseconds. They are those of the platform; in an alert condition,
   * those of the platform or endpoint of the snapshot.
   */
  window(rangeMs: number): Stats;
  /** Returns the state of a limit, or null if there is no limit with this name. */
  limit(name: string): LimitStatus | null;
  /** Writes a line to the host's log. The host keeps at most 16 lines of at most 512 bytes for each verdict. */
  log(text: string, level?: 'debug' | 'info' | 'warn'): void;
}

/** The host functions of a retry policy. */
export interface RetryHost extends Host {
  /**
   * Returns the body of the platform's response: its first 64 KiB as text, or null if no response arrived. Throws unless
   * policy.js contains `export const readsBody = true`.
   */
  body(): string | null;
}

/** The type of the export `classify`: a retry policy. */
export type Classify = (failure: Failure, host: RetryHost) => RetryVerdict;
/**
 * The type of the optional export `readsBody` of a retry policy: whether it calls `host.body()`. The host keeps the
 * bodies of responses only for such policies.
 */
export type ReadsBody = boolean;
/** The type of the export `evaluate`: an alert condition. */
export type Evaluate = (snapshot: Snapshot, host: Host) => AlertVerdict;
/** The type of the export `admit`: an admission policy. */
export type Admit = (request: Request, host: Host) => Admission;
/**
 * The type of the optional export `configure`, which checks the settings. The host calls it once, before any other
 * function. If it throws, the host rejects the policy and reports the message.
 */
export type Configure = (settings: Record<string, string | number | boolean>) => void;
