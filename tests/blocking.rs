//! The services from plain threads, and the error from inside a runtime.

#![allow(clippy::result_large_err, reason = "a failure is as large as what a policy sees")]

use std::time::{Duration, Instant};

use tidegate::blocking::{CallError, Host};
use tidegate::{Config, Decision, Failure, Quota, Rate};
use tidegate_core::config::SystemEnv;

fn host() -> Host {
    let quick = "[retry]\nbase = '1ms'\ncap = '2ms'\n";
    let config = Config::parse(quick, &SystemEnv::default()).unwrap();
    Host::start(|| tidegate::Host::builder().config(config).build()).unwrap()
}

fn quota(rate: &str, burst: u64) -> Quota {
    Quota::new(Rate::parse(rate).unwrap(), burst).unwrap()
}

#[test]
fn threads_share_a_limit_and_wait_for_it() {
    let host = host();
    let limiter = host.limiter("jd").unwrap();
    limiter.update(quota("100/s", 1)).unwrap();
    limiter.reset().unwrap();
    let start = Instant::now();
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let limiter = limiter.clone();
            std::thread::spawn(move || limiter.acquire(1, Duration::from_secs(20)).unwrap().is_allowed())
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    assert!(start.elapsed() >= Duration::from_millis(50), "five of them waited for 10 ms each");
    assert_eq!(limiter.check(2).unwrap(), Decision::Never { max: 1 });
    assert_eq!(limiter.status().unwrap().burst, 1);
}

#[test]
fn a_call_blocks_its_own_thread_and_may_use_other_services() {
    let host = host();
    let mut numbers = Vec::new();
    let answer = host.retry("pdd").unwrap().endpoint("e").run(|attempt| {
        numbers.push(attempt.number);
        assert!(host.limiter("jd").unwrap().check(0).unwrap().is_allowed());
        if attempt.number < 3 { Err(Failure { status: Some(503), ..Failure::default() }) } else { Ok("done") }
    });
    assert_eq!((answer.unwrap(), numbers), ("done", vec![1, 2, 3]));
    assert_eq!(host.services().metrics().get("pdd", Some("e"), Duration::from_secs(60)).errors, 2);
}

#[test]
fn what_is_not_worth_it_ends_as_among_async_callers() {
    let failed = host()
        .retry("pdd")
        .unwrap()
        .run(|_| -> Result<(), _> { Err(Failure { status: Some(404), ..Failure::default() }) });
    assert!(matches!(failed, Err(CallError::Ended(tidegate::CallError::GaveUp { attempts: 1, .. }))));
    assert!(host().limiter("unheard").is_err());
}

#[test]
fn a_lock_is_held_by_one_thread_and_given_back_when_dropped() {
    let host = host();
    let (mine, theirs) = (host.lock("job").unwrap(), host.lock("job").unwrap());
    let lease = mine.try_acquire().unwrap().unwrap();
    assert!(lease.is_held() && theirs.try_acquire().unwrap().is_none());
    let waiting = std::thread::spawn(move || theirs.acquire(Duration::from_secs(20)).unwrap().unwrap().fencing_token());
    let first = lease.fencing_token();
    drop(lease);
    assert!(waiting.join().unwrap() > first);
    assert!(host.lock("").is_err());
}

#[test]
fn inside_a_runtime_there_is_a_clear_error_and_no_deadlock() {
    let host = host();
    let limiter = host.limiter("jd").unwrap();
    for workers in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap();
        let (host, limiter) = (host.clone(), limiter.clone());
        runtime.block_on(async move {
            let told = limiter.acquire(1, Duration::from_secs(9)).unwrap_err();
            assert!(told.is_inside_runtime());
            assert!(told.to_string().contains("inside an async runtime"), "{told}");
            let misplaced = host.retry("jd").unwrap().run(|_| Ok::<(), Failure>(()));
            assert!(matches!(misplaced, Err(CallError::Misplaced(error)) if error.is_inside_runtime()));
            assert!(Host::start(|| tidegate::Host::builder().build()).is_err());
            // The same services are there to be awaited, and the last one may be dropped here.
            assert!(host.services().limiter("jd").unwrap().check(1).await.is_allowed());
        });
    }
    drop(limiter);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async move { drop(host) });
}
