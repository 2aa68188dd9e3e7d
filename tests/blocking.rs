//! The blocking API: calls from plain threads, and the error that it returns inside an async runtime.

#![allow(clippy::result_large_err, reason = "`Failure` contains everything that a policy can read")]

use std::time::{Duration, Instant};

use tidegate::blocking::{BlockingCallError, BlockingHost, BlockingRetry};
use tidegate::{CallOptions, Config, Failure, Quota, Refusal, Request};

fn host() -> BlockingHost {
    let fast_retries = "[retry]\nbase_delay = '1ms'\nmax_delay = '2ms'\n";
    let config = Config::parse(&format!("presets = ['platforms']\n{fast_retries}")).unwrap();
    BlockingHost::start(|| tidegate::Host::builder().config(config).build()).unwrap()
}

fn quota(rate: &str, burst: u64) -> Quota {
    Quota::new(rate.parse().unwrap(), burst).unwrap()
}

#[test]
fn threads_share_one_limit_and_wait_for_it() {
    let host = host();
    let limiter = host.limiter("jd").unwrap();
    limiter.update(quota("100/s", 1)).unwrap();
    limiter.reset().unwrap();
    let start = Instant::now();
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let limiter = limiter.clone();
            std::thread::spawn(move || limiter.acquire(1, Duration::from_secs(20)).is_ok())
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    assert!(
        start.elapsed() >= Duration::from_millis(50),
        "five of the six calls wait, each 10 ms longer than the one before"
    );
    assert_eq!(limiter.check(2).unwrap_err().refusal(), Some(Refusal::Never { max_cost: 1 }));
    assert_eq!(limiter.status().unwrap().burst, 1);
}

#[test]
fn retried_call_may_use_other_services() {
    let host = host();
    let mut attempts = Vec::new();
    let result = host.retry("pdd").unwrap().endpoint("e").run(|attempt| {
        attempts.push(attempt.number);
        assert!(host.limiter("jd").unwrap().check(0).is_ok());
        if attempt.number < 3 { Err(Failure::response(503)) } else { Ok("done") }
    });
    assert_eq!((result.unwrap(), attempts), ("done", vec![1, 2, 3]));
    assert_eq!(host.host().metrics().stats("pdd", Some("e"), Duration::from_secs(60)).errors, 2);
}

#[test]
fn permanent_failure_gives_up_after_one_attempt() {
    let result = host().retry("pdd").unwrap().run(|_| -> Result<(), _> { Err(Failure::response(404)) });
    let error = result.unwrap_err();
    assert!(error.call_error().is_some_and(|error| error.attempts() == 1 && error.is_permanent()), "{error}");
    assert!(host().limiter("unknown").is_err());
}

#[test]
fn bounds_of_a_call_and_its_idempotency_apply() {
    let host = host();
    let attempts = |retry: BlockingRetry| {
        let error = retry.run(|_| -> Result<(), _> { Err(Failure::response(503)) });
        error.unwrap_err().call_error().unwrap().attempts()
    };
    let retry = || host.retry("pdd").unwrap();
    assert_eq!(attempts(retry().max_attempts(2)), 2);
    assert_eq!(attempts(retry().deadline(Duration::ZERO)), 1);
    assert_eq!(attempts(retry().idempotent(false)), 1);
}

#[test]
fn thread_can_classify_admit_and_reserve() {
    let host = host();
    let down = Failure::response(503).with_platform("pdd");
    assert_eq!(&*host.classify(&down).unwrap().policy, "fallback");
    assert!(host.advise(&down, CallOptions::default()).unwrap().delay().is_some());
    let limiter = host.limiter("pdd").unwrap();
    limiter.update(quota("1/h", 5)).unwrap();
    limiter.reset().unwrap();
    let request = Request::new("pdd");
    let admitted = host.admit(&request).unwrap();
    assert_eq!(admitted.check().unwrap().remaining, 4);
    let reservations = admitted.reserve(Duration::ZERO).unwrap();
    assert_eq!((reservations.remaining(), reservations.ids().count()), (3, 1));
    reservations.cancel().unwrap();
    let reservation = limiter.reserve(4, Duration::ZERO).unwrap();
    assert!(admitted.check().unwrap_err().refusal().is_some() && limiter.check(1).is_err());
    limiter.cancel(reservation.id().unwrap()).unwrap();
    reservation.cancel().unwrap(); // a repeated cancellation has no effect
    assert!(host.retry("pdd").unwrap().admitted(admitted).run(|_| Ok::<_, Failure>(())).is_ok());
    assert_eq!(limiter.status().unwrap().available, 3);
    let unknown = Request::new("pdx");
    assert!(host.admit(&unknown).unwrap_err().is_unknown_platform());
}

#[test]
fn dropped_lease_releases_the_lock_to_a_waiting_thread() {
    let host = host();
    let (first_lock, second_lock) = (host.lock("job").unwrap(), host.lock("job").unwrap());
    let lease = first_lock.try_acquire().unwrap();
    assert!(lease.is_held() && second_lock.try_acquire().unwrap_err().lock_error().unwrap().held().is_some());
    let waiting = std::thread::spawn(move || second_lock.acquire(Duration::from_secs(20)).unwrap().fencing_token());
    let first_token = lease.fencing_token();
    drop(lease);
    assert!(waiting.join().unwrap() > first_token);
    assert!(host.lock("").is_err());
}

#[test]
fn blocking_call_inside_a_runtime_returns_an_error() {
    let host = host();
    let limiter = host.limiter("jd").unwrap();
    for workers in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap();
        let (host, limiter) = (host.clone(), limiter.clone());
        runtime.block_on(async move {
            let error = limiter.acquire(1, Duration::from_secs(9)).unwrap_err();
            assert!(error.is_inside_runtime());
            assert!(error.to_string().contains("inside an async runtime"), "{error}");
            let inside_runtime = host.retry("jd").unwrap().run(|_| Ok::<(), Failure>(()));
            assert!(matches!(inside_runtime, Err(BlockingCallError::Blocking(error)) if error.is_inside_runtime()));
            assert!(BlockingHost::start(|| tidegate::Host::builder().build()).is_err());
            // The async services still work here, and the last handle may be dropped inside a runtime.
            assert!(host.host().limiter("jd").unwrap().check(1).await.is_ok());
        });
    }
    drop(limiter);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async move { drop(host) });
}
