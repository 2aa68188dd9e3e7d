//! The way to Redis: every kind of server, and what callers see of servers in trouble.

mod failover;
mod load;

use std::time::Duration;

use redis::Value;
use tidegate::core::Secret;
use tidegate::core::config::RedisConfig;
use tidegate::core::store::StoreError;
use tidegate::redis::{Redis, ServerState};
use tidegate_lua::Script;
use tokio::time::timeout;

use self::load::Load;
use crate::servers::{Proxy, Server, Tls, binaries};

/// Counts, and tells those who listen.
const COUNT: Script = Script {
    name: "count",
    text: "if ARGV[1] then redis.call('PUBLISH', ARGV[1], '') end return redis.call('INCR', KEYS[1])",
    keys: 1,
};

const PASSWORD: &str = "so-geheim-wie-1-schatz";

/// As long as a busy machine may need; nothing here is expected to take it.
async fn patiently<T>(waited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), waited).await.expect("this comes in time")
}

async fn count(redis: &Redis, key: &str) -> Result<i64, StoreError> {
    number(redis.run(&COUNT, &[key.to_owned()], &[]).await)
}

fn number(answer: Result<Value, StoreError>) -> Result<i64, StoreError> {
    answer.map(|value| match value {
        Value::Int(number) => number,
        other => panic!("a count, not {other:?}"),
    })
}

fn open(config: &RedisConfig) -> Redis {
    Redis::open(config).unwrap()
}

/// With a server that can be used: scripts run, what is written is read, what is told is heard.
async fn serves(config: &RedisConfig, kind: &str) -> Redis {
    let redis = open(config);
    let key = |tag: &str| format!("{}count:{{{tag}}}", config.prefix);
    for tag in ["jd", "taobao", "pdd", "douyin"] {
        let key = key(tag);
        patiently(redis.back(&key)).await;
        assert_eq!(count(&redis, &key).await, Ok(1), "{kind}");
        let words = |command: &str| vec![command.into(), key.clone().into_bytes()];
        let read = redis.read(Duration::from_secs(10), &key, &[words("GET"), words("EXISTS")]).await.unwrap();
        assert_eq!(read, [Value::BulkString(b"1".to_vec()), Value::Int(1)], "{kind}");
        let channel = format!("{key}:told");
        let mut signal = redis.signal(&channel);
        patiently(signal.changed()).await;
        let told = redis.run(&COUNT, std::slice::from_ref(&key), &[channel.into_bytes()]).await;
        assert_eq!(number(told), Ok(2), "{kind}");
        patiently(signal.changed()).await;
    }
    let health = redis.health();
    assert_eq!((health.kind, health.state, health.reason.as_deref()), (kind, ServerState::Up, None));
    redis
}

#[tokio::test]
async fn a_single_server_serves_with_or_without_a_password_a_user_and_a_database() {
    let user = format!("ann on >{PASSWORD} ~tidegate:* &tidegate:* +@all -@dangerous");
    for &binary in binaries() {
        let plain = Server::of(binary, &[]);
        serves(&plain.config(), "single").await;
        let third = RedisConfig { url: url(&plain, "", "/3"), ..plain.config() };
        serves(&RedisConfig { prefix: "third:".to_owned(), ..third }, "single").await;
        assert!(plain.command(&["INFO", "keyspace"]).await.contains("db3:"), "{binary}");

        let locked = Server::of(binary, &["--requirepass", PASSWORD]);
        serves(&RedisConfig { url: url(&locked, &format!(":{PASSWORD}@"), ""), ..locked.config() }, "single").await;
        let password = Some(Secret::new(PASSWORD));
        let config = RedisConfig { password, prefix: "beside:".to_owned(), ..locked.config() };
        serves(&config, "single").await;

        let words: Vec<&str> = ["--user"].into_iter().chain(user.split(' ')).collect();
        let guarded = Server::of(binary, &words);
        let (username, password) = (Some("ann".to_owned()), Some(Secret::new(PASSWORD)));
        let prefix = "tidegate:".to_owned();
        serves(&RedisConfig { username, password, prefix, ..guarded.config() }, "single").await;
    }
}

fn url(server: &Server, user: &str, path: &str) -> Vec<Secret> {
    vec![Secret::new(format!("redis://{user}127.0.0.1:{}{path}", server.port))]
}

#[tokio::test]
async fn an_encrypted_server_serves_those_who_trust_its_authority_and_nobody_else() {
    let (tls, other) = (Tls::start(), Tls::start());
    serves(&tls.config(), "single").await;
    for tls_ca in [None, other.config().tls_ca] {
        let redis = open(&RedisConfig { tls_ca, decide_within: Duration::from_secs(10), ..tls.config() });
        let error = count(&redis, "any").await.unwrap_err();
        assert!(error.is_away() && error.to_string().contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn scripts_that_a_server_forgets_are_sent_again_and_no_call_is_lost() {
    let server = Server::single();
    let redis = server.redis().await;
    let load = Load::start(&redis, "load");
    for _ in 0..5 {
        load.goes_on().await;
        server.tell(&["SCRIPT", "FLUSH"]).await;
    }
    load.goes_on().await;
    assert_eq!(load.end().await, 0);
}

#[tokio::test]
async fn connections_that_a_server_closes_are_made_anew() {
    let server = Server::single();
    let redis = server.redis().await;
    let mut signal = redis.signal("told");
    patiently(signal.changed()).await;
    let load = Load::start(&redis, "load");
    load.goes_on().await;
    assert!(server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.starts_with(':'));
    load.goes_on().await;
    assert!(redis.health().reconnects >= 1);
    load.end().await;
    assert!(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.starts_with(':'));
    // What was told meanwhile nobody heard, so it counts as a change.
    patiently(signal.changed()).await;
}

#[tokio::test]
async fn a_server_that_stands_still_costs_one_wait_and_is_back_when_it_goes_on() {
    let server = Server::single();
    let config = RedisConfig { decide_within: Duration::from_secs(1), ..server.config() };
    let redis = open(&config);
    let load = Load::start(&redis, "load");
    load.goes_on().await;
    server.stop();
    let lost = async {
        while redis.health().state == ServerState::Up {
            let _ = count(&redis, "other").await;
        }
    };
    patiently(lost).await;
    let health = redis.health();
    assert_eq!(health.state, ServerState::Away);
    // Each would wait for a second if it asked the server.
    let at_once = async {
        for _ in 0..1_000 {
            assert!(count(&redis, "other").await.unwrap_err().is_away());
        }
    };
    patiently(at_once).await;
    assert!(redis.health().away_answers > 1_000);
    server.cont();
    load.goes_on().await;
    assert!(load.end().await > 0);
    assert_eq!(redis.health().state, ServerState::Up);
}

#[tokio::test]
async fn a_server_that_was_killed_is_back_once_it_is_started_again() {
    let mut server = Server::single();
    let redis = server.redis().await;
    let mut signal = redis.signal("told");
    patiently(signal.changed()).await;
    assert_eq!(count(&redis, "key").await, Ok(1));
    server.kill();
    let error = loop {
        if let Err(error) = count(&redis, "key").await {
            break error;
        }
    };
    assert!(error.is_away(), "{error}");
    server.start_again();
    patiently(redis.back("key")).await;
    assert_eq!(count(&redis, "key").await, Ok(1), "it kept nothing on disk");
    patiently(signal.changed()).await;
    let told = redis.run(&COUNT, &["key".to_owned()], &[b"told".to_vec()]).await;
    assert_eq!(number(told), Ok(2));
    patiently(signal.changed()).await;
}

#[tokio::test]
async fn a_server_that_is_of_no_use_is_away_and_says_why() {
    let rows = [
        (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"], "READONLY"),
        (["CONFIG SET", "maxmemory", "1"], ["CONFIG SET", "maxmemory", "0"], "OOM"),
        (["CONFIG SET", "min-replicas-to-write", "1"], ["CONFIG SET", "min-replicas-to-write", "0"], "NOREPLICAS"),
    ];
    let server = Server::single();
    let redis = server.redis().await;
    for (spoil, mend, reason) in rows {
        assert!(count(&redis, "key").await.is_ok());
        server.tell(&spoil).await;
        let error = count(&redis, "key").await.unwrap_err();
        assert!(error.is_away() && error.to_string().contains(reason), "{error}");
        let told = redis.health().reason.unwrap();
        assert!(told.starts_with(reason), "{told}");
        server.tell(&mend).await;
        patiently(redis.back("key")).await;
    }
    assert!(count(&redis, "key").await.is_ok());
}

#[tokio::test]
async fn a_script_without_end_takes_the_server_away_until_somebody_ends_it() {
    let server = Server::with(&["--busy-reply-threshold", "50"]);
    let redis = open(&server.config());
    patiently(redis.back("key")).await;
    let endless = Script { name: "endless", text: "while true do end", keys: 1 };
    assert!(redis.run(&endless, &["key".to_owned()], &[]).await.unwrap_err().is_away());
    let why = async {
        while !redis.health().reason.is_some_and(|reason| reason.starts_with("BUSY")) {
            let _ = count(&redis, "key").await;
            tokio::task::yield_now().await;
        }
    };
    patiently(why).await;
    server.tell(&["SCRIPT", "KILL"]).await;
    patiently(redis.back("key")).await;
    patiently(async { while count(&redis, "key").await.is_err() {} }).await;
}

#[tokio::test]
async fn whoever_is_not_let_in_reads_why_and_no_secret_and_is_let_in_once_that_is_mended() {
    let server = Server::with(&["--requirepass", PASSWORD]);
    let wrong = "not-the-password";
    let patient = RedisConfig { decide_within: Duration::from_secs(10), ..server.config() };
    let rows = [(Some(wrong), "WRONGPASS"), (None, "NOAUTH")];
    let ways = rows.map(|(password, reason)| {
        (open(&RedisConfig { password: password.map(Secret::new), ..patient.clone() }), reason)
    });
    for (redis, reason) in &ways {
        let error = count(redis, "key").await.unwrap_err();
        let health = redis.health();
        assert!(error.is_away() && error.to_string().contains(reason), "{error}");
        assert_eq!(health.state, ServerState::Away);
        assert!(health.reason.as_ref().is_some_and(|told| told.starts_with(reason)), "{health:?}");
        let shown = format!("{error} {error:?} {health:?} {}", serde_json::to_string(&health).unwrap());
        assert!(!shown.contains(wrong) && !shown.contains(PASSWORD), "{shown}");
    }
    let admin = open(&RedisConfig { password: Some(Secret::new(PASSWORD)), ..patient });
    let change = Script { name: "unused", text: "return 1", keys: 0 };
    assert!(admin.run(&change, &[], &[]).await.is_ok());
    let set = |value: &str| ["CONFIG", "SET", "requirepass", value].map(|word| word.as_bytes().to_vec()).to_vec();
    for ((redis, _), password) in ways.iter().zip([wrong, ""]) {
        admin.read(Duration::from_secs(10), "", &[set(password)]).await.unwrap();
        patiently(redis.back("key")).await;
        assert!(count(redis, "key").await.is_ok());
    }
}

#[tokio::test]
async fn a_server_that_repeats_what_it_was_told_gives_no_secret_away() {
    let server = Server::with(&["--requirepass", PASSWORD, "--rename-command", "HELLO", ""]);
    let redis = open(&RedisConfig { password: Some(Secret::new(PASSWORD)), ..server.config() });
    let told = async {
        loop {
            match redis.health().deaf {
                Some(told) => break told,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let told = patiently(told).await;
    assert!(!told.is_empty() && !told.contains(PASSWORD), "{told}");
}

#[tokio::test]
async fn a_user_who_may_not_run_scripts_reads_so() {
    let user = format!("--user ann on >{PASSWORD} ~* &* +@all -@scripting");
    let server = Server::with(&user.split(' ').collect::<Vec<_>>());
    let (username, password) = (Some("ann".to_owned()), Some(Secret::new(PASSWORD)));
    let redis = open(&RedisConfig { username, password, decide_within: Duration::from_secs(10), ..server.config() });
    assert!(count(&redis, "key").await.unwrap_err().to_string().contains("NOPERM"));
    assert!(redis.health().reason.is_some_and(|reason| reason.starts_with("NOPERM")));
}

#[tokio::test]
async fn a_script_that_fails_leaves_the_server_in_use() {
    let server = Server::single();
    let redis = server.redis().await;
    let wrong = Script { name: "wrong", text: "return redis.call('HGET', KEYS[1])", keys: 1 };
    assert_eq!(count(&redis, "key").await, Ok(1));
    let error = redis.run(&wrong, &["key".to_owned()], &[]).await.unwrap_err();
    assert!(!error.is_away(), "{error}");
    let health = redis.health();
    assert_eq!((health.state, health.away_answers, health.reconnects), (ServerState::Up, 0, 0));
    assert!(health.last_refusal.is_some_and(|told| told.starts_with("ERR")));
    assert_eq!(count(&redis, "key").await, Ok(2));
}

#[tokio::test]
async fn a_lost_reply_is_told_and_nothing_is_sent_twice() {
    let server = Server::single();
    let proxy = Proxy::to(&server).await;
    let redis = open(&RedisConfig { decide_within: Duration::from_millis(500), ..proxy.config(&server) });
    patiently(redis.back("key")).await;
    assert_eq!(count(&redis, "key").await, Ok(1));
    proxy.drop_next_reply();
    let lost = async {
        let mut asked = 1;
        while count(&redis, "key").await.is_ok() {
            asked += 1;
        }
        asked + 1
    };
    let asked: i64 = patiently(lost).await;
    patiently(redis.back("key")).await;
    let ran = count(&redis, "key").await.unwrap() - 1;
    // The lost reply may have been a probe's; what was asked did not run more than once in any case.
    assert!(ran == asked || ran == asked - 1, "{ran} ran, {asked} asked");

    let load = Load::start(&redis, "load");
    load.goes_on().await;
    proxy.cut();
    load.goes_on().await;
    proxy.stall(true);
    patiently(async {
        while redis.health().state == ServerState::Up {
            let _ = count(&redis, "other").await;
        }
    })
    .await;
    proxy.stall(false);
    load.goes_on().await;
    assert!(load.end().await > 0);
}

#[tokio::test]
async fn a_signal_that_nobody_holds_is_not_subscribed_to() {
    let server = Server::single();
    let redis = server.redis().await;
    let (mut one, mut two) = (redis.signal("told"), redis.signal("told"));
    patiently(one.changed()).await;
    patiently(two.changed()).await;
    drop(one);
    assert!(server.command(&["PUBLISH", "told", "now"]).await.starts_with(":1"));
    patiently(two.changed()).await;
    drop(two);
    server.says(&["PUBLISH", "told", "now"], ":0").await;
}

#[tokio::test]
async fn processes_count_themselves() {
    let server = Server::single();
    let (one, two) = (server.redis().await, server.redis().await);
    server.says(&["ZCARD", &one.keys().processes()], ":2").await;
    // Heard of long ago, and in a future that will not come: both are gone.
    let key = one.keys().processes();
    assert_eq!(server.command(&["ZADD", &key, "1", "old", "1e18", "odd"]).await, ":2\r\n");
    let alive = one.run(&tidegate_lua::PRESENCE, &[key], &[b"third".to_vec(), b"10000000".to_vec()]).await;
    assert_eq!(number(alive), Ok(3));
    assert!(one.processes() >= 1 && two.processes() >= 1);
}
