//! Connections to Redis: every kind of server, and what callers observe when a server fails.

mod failover;
mod load;

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tidegate::SystemClock;
use tidegate_core::config::RedisConfig;
use tidegate_core::store::StoreError;
use tidegate_lua::Script;
use tidegate_redis::internals::RawRequests;
use tidegate_redis::{Redis, ServerState};
use tokio::time::timeout;

use self::load::Load;
use crate::servers::{Proxy, RedisServer, TlsServer, binaries, open_redis};

/// Increments a counter, and publishes a message if a channel is given.
const COUNT: Script = Script {
    name: "count",
    text: "if ARGV[1] then redis.call('PUBLISH', ARGV[1], '') end return redis.call('INCR', KEYS[1])",
    keys: 1,
};

const PASSWORD: &str = "so-geheim-wie-1-schatz";

/// Awaits a future with a timeout that is long enough for a busy machine.
async fn within_timeout<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("the future completes within 60 seconds")
}

async fn count(redis: &Redis, key: &str) -> Result<i64, StoreError> {
    integer_reply(redis.run(&COUNT, &[key.to_owned()], &[]).await)
}

fn integer_reply(reply: Result<Value, StoreError>) -> Result<i64, StoreError> {
    reply.map(|value| match value {
        Value::Int(number) => number,
        other => panic!("expected an integer, found {other:?}"),
    })
}

fn open(config: &RedisConfig) -> Redis {
    open_redis(config)
}

/// Asserts that the server can be used: scripts run, written values can be read, and published messages are received.
async fn assert_usable(config: &RedisConfig, kind: &str) -> Redis {
    let redis = open(config);
    assert_eq!(redis.health().state, ServerState::Connecting, "{kind}");
    within_timeout(redis.wait_until_ready()).await;
    assert_eq!(redis.health().state, ServerState::Up, "{kind}");
    let key = |tag: &str| format!("{}count:{{{tag}}}", config.prefix);
    for tag in ["jd", "taobao", "pdd", "douyin"] {
        let key = key(tag);
        within_timeout(redis.wait_until_available(&key)).await;
        assert_eq!(count(&redis, &key).await, Ok(1), "{kind}");
        let command = |name: &str| vec![name.into(), key.clone().into_bytes()];
        let replies = redis.read(Duration::from_secs(10), &key, &[command("GET"), command("EXISTS")]).await.unwrap();
        assert_eq!(replies, [Value::BulkString(b"1".to_vec()), Value::Int(1)], "{kind}");
        let channel = format!("{key}:changed");
        let mut signal = redis.signal(&channel);
        within_timeout(signal.changed()).await;
        let reply = redis.run(&COUNT, std::slice::from_ref(&key), &[channel.into_bytes()]).await;
        assert_eq!(integer_reply(reply), Ok(2), "{kind}");
        within_timeout(signal.changed()).await;
    }
    let health = redis.health();
    assert_eq!((health.kind.as_str(), health.state, health.reason.as_deref()), (kind, ServerState::Up, None));
    redis
}

#[tokio::test]
async fn single_server_works_with_and_without_password_user_and_database() {
    let user = format!("ann on >{PASSWORD} ~tidegate:* &tidegate:* +@all -@dangerous");
    for &binary in binaries() {
        let plain = RedisServer::with_binary(binary, &[]);
        assert_usable(&plain.config(), "single").await;
        let database = RedisConfig::single(url(&plain, "", "/3")).with_prefix("database:");
        assert_usable(&database, "single").await;
        assert!(plain.command(&["INFO", "keyspace"]).await.contains("db3:"), "{binary}");

        let with_password = RedisServer::with_binary(binary, &["--requirepass", PASSWORD]);
        let in_url = RedisConfig::single(url(&with_password, &format!(":{PASSWORD}@"), ""));
        assert_usable(&in_url.with_prefix("url:"), "single").await;
        let config = with_password.config().with_password(PASSWORD).with_prefix("separate:");
        assert_usable(&config, "single").await;

        let args: Vec<&str> = ["--user"].into_iter().chain(user.split(' ')).collect();
        let with_user = RedisServer::with_binary(binary, &args);
        let config = with_user.config().with_username("ann").with_password(PASSWORD).with_prefix("tidegate:");
        assert_usable(&config, "single").await;
    }
}

fn url(server: &RedisServer, user: &str, path: &str) -> String {
    format!("redis://{user}127.0.0.1:{}{path}", server.port)
}

#[tokio::test]
async fn tls_server_accepts_only_clients_that_trust_its_authority() {
    let (tls, other) = (TlsServer::start(), TlsServer::start());
    assert_usable(&tls.config(), "single").await;
    for tls_ca in [None, other.config().tls_ca] {
        let mut config = tls.config().with_decide_within(Duration::from_secs(10));
        config.tls_ca = tls_ca;
        let redis = open(&config);
        let error = count(&redis, "any").await.unwrap_err();
        assert!(error.is_unavailable() && error.to_string().contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn flushed_scripts_are_sent_again_and_no_call_is_lost() {
    let server = RedisServer::start();
    let redis = server.redis().await;
    let load = Load::start(&redis, "load");
    for _ in 0..5 {
        load.wait_for_progress().await;
        server.command_ok(&["SCRIPT", "FLUSH"]).await;
    }
    load.wait_for_progress().await;
    assert_eq!(load.stop().await, 0);
}

#[tokio::test]
async fn closed_connections_are_reopened() {
    let server = RedisServer::start();
    let redis = server.redis().await;
    let mut signal = redis.signal("changed");
    within_timeout(signal.changed()).await;
    let load = Load::start(&redis, "load");
    load.wait_for_progress().await;
    assert!(server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.starts_with(':'));
    load.wait_for_progress().await;
    assert!(redis.health().reconnects >= 1);
    load.stop().await;
    assert!(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.starts_with(':'));
    // A message may have been missed while the subscriber was disconnected, so the signal reports a change.
    within_timeout(signal.changed()).await;
}

#[tokio::test]
async fn stalled_server_delays_one_call_and_recovers_when_it_continues() {
    let server = RedisServer::start();
    let config = server.config().with_decide_within(Duration::from_secs(1));
    let redis = open(&config);
    let load = Load::start(&redis, "load");
    load.wait_for_progress().await;
    server.pause();
    let outage = async {
        while redis.health().state == ServerState::Up {
            let _ = count(&redis, "other").await;
        }
    };
    within_timeout(outage).await;
    let health = redis.health();
    assert_eq!(health.state, ServerState::Unavailable);
    // Each call would take a second if it waited for the server.
    let calls = async {
        for _ in 0..1_000 {
            assert!(count(&redis, "other").await.unwrap_err().is_unavailable());
        }
    };
    within_timeout(calls).await;
    assert!(redis.health().unavailable_errors > 1_000);
    server.resume();
    load.wait_for_progress().await;
    assert!(load.stop().await > 0);
    assert_eq!(redis.health().state, ServerState::Up);
}

#[tokio::test]
async fn killed_server_recovers_after_a_restart() {
    let mut server = RedisServer::start();
    let redis = server.redis().await;
    let mut signal = redis.signal("changed");
    within_timeout(signal.changed()).await;
    assert_eq!(count(&redis, "key").await, Ok(1));
    server.kill();
    let error = loop {
        if let Err(error) = count(&redis, "key").await {
            break error;
        }
    };
    assert!(error.is_unavailable(), "{error}");
    server.restart();
    within_timeout(redis.wait_until_available("key")).await;
    assert_eq!(count(&redis, "key").await, Ok(1), "the restarted server starts empty");
    within_timeout(signal.changed()).await;
    let reply = redis.run(&COUNT, &["key".to_owned()], &[b"changed".to_vec()]).await;
    assert_eq!(integer_reply(reply), Ok(2));
    within_timeout(signal.changed()).await;
}

#[tokio::test]
async fn unusable_server_is_unavailable_with_its_reason() {
    let rows = [
        (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"], "READONLY"),
        (["CONFIG SET", "maxmemory", "1"], ["CONFIG SET", "maxmemory", "0"], "OOM"),
        (["CONFIG SET", "min-replicas-to-write", "1"], ["CONFIG SET", "min-replicas-to-write", "0"], "NOREPLICAS"),
    ];
    let server = RedisServer::start();
    let redis = server.redis().await;
    for (break_command, repair_command, reason) in rows {
        assert!(count(&redis, "key").await.is_ok());
        server.command_ok(&break_command).await;
        let error = count(&redis, "key").await.unwrap_err();
        assert!(error.is_unavailable() && error.to_string().contains(reason), "{error}");
        let health_reason = redis.health().reason.unwrap();
        assert!(health_reason.starts_with(reason), "{health_reason}");
        server.command_ok(&repair_command).await;
        within_timeout(redis.wait_until_available("key")).await;
    }
    assert!(count(&redis, "key").await.is_ok());
}

#[tokio::test]
async fn endless_script_makes_the_server_unavailable_until_it_is_killed() {
    let server = RedisServer::with_args(&["--busy-reply-threshold", "50"]);
    let redis = open(&server.config());
    within_timeout(redis.wait_until_available("key")).await;
    let endless = Script { name: "endless", text: "while true do end", keys: 1 };
    assert!(redis.run(&endless, &["key".to_owned()], &[]).await.unwrap_err().is_unavailable());
    let busy = async {
        while !redis.health().reason.is_some_and(|reason| reason.starts_with("BUSY")) {
            let _ = count(&redis, "key").await;
            tokio::task::yield_now().await;
        }
    };
    within_timeout(busy).await;
    server.command_ok(&["SCRIPT", "KILL"]).await;
    within_timeout(redis.wait_until_available("key")).await;
    within_timeout(async { while count(&redis, "key").await.is_err() {} }).await;
}

#[tokio::test]
async fn failed_authentication_reports_its_reason_without_secrets_and_recovers() {
    let server = RedisServer::with_args(&["--requirepass", PASSWORD]);
    let wrong_password = "not-the-password";
    let config = server.config().with_decide_within(Duration::from_secs(10));
    let clients = [(open(&config.clone().with_password(wrong_password)), "WRONGPASS"), (open(&config), "NOAUTH")];
    for (redis, reason) in &clients {
        let error = count(redis, "key").await.unwrap_err();
        let health = redis.health();
        assert!(error.is_unavailable() && error.to_string().contains(reason), "{error}");
        assert_eq!(health.state, ServerState::Unavailable);
        assert!(health.reason.as_ref().is_some_and(|text| text.starts_with(reason)), "{health:?}");
        let output = format!("{error} {error:?} {health:?} {}", serde_json::to_string(&health).unwrap());
        assert!(!output.contains(wrong_password) && !output.contains(PASSWORD), "{output}");
    }
    let admin = open(&config.with_password(PASSWORD));
    let no_operation = Script { name: "no_operation", text: "return 1", keys: 0 };
    assert!(admin.run(&no_operation, &[], &[]).await.is_ok());
    let set =
        |value: &str| ["CONFIG", "SET", "requirepass", value].map(|argument| argument.as_bytes().to_vec()).to_vec();
    for ((redis, _), password) in clients.iter().zip([wrong_password, ""]) {
        admin.read(Duration::from_secs(10), "", &[set(password)]).await.unwrap();
        within_timeout(redis.wait_until_available("key")).await;
        assert!(count(redis, "key").await.is_ok());
    }
}

#[tokio::test]
async fn subscription_error_does_not_contain_the_password_that_the_server_repeats() {
    let server = RedisServer::with_args(&["--requirepass", PASSWORD, "--rename-command", "HELLO", ""]);
    let redis = open(&server.config().with_password(PASSWORD));
    let subscription_error = async {
        loop {
            match redis.health().subscription_error {
                Some(error) => break error,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let error = within_timeout(subscription_error).await;
    assert!(!error.is_empty() && !error.contains(PASSWORD), "{error}");
}

#[tokio::test]
async fn missing_script_permission_is_reported() {
    let user = format!("--user ann on >{PASSWORD} ~* &* +@all -@scripting");
    let server = RedisServer::with_args(&user.split(' ').collect::<Vec<_>>());
    let config = server.config().with_username("ann").with_password(PASSWORD);
    let redis = open(&config.with_decide_within(Duration::from_secs(10)));
    assert!(count(&redis, "key").await.unwrap_err().to_string().contains("NOPERM"));
    assert!(redis.health().reason.is_some_and(|reason| reason.starts_with("NOPERM")));
}

#[tokio::test]
async fn failed_script_leaves_the_server_up() {
    let server = RedisServer::start();
    let redis = server.redis().await;
    let failing = Script { name: "failing", text: "return redis.call('HGET', KEYS[1])", keys: 1 };
    assert_eq!(count(&redis, "key").await, Ok(1));
    let error = redis.run(&failing, &["key".to_owned()], &[]).await.unwrap_err();
    assert!(!error.is_unavailable(), "{error}");
    let health = redis.health();
    assert_eq!((health.state, health.unavailable_errors, health.reconnects), (ServerState::Up, 0, 0));
    assert!(health.last_rejection.is_some_and(|text| text.starts_with("ERR")));
    assert_eq!(count(&redis, "key").await, Ok(2));
}

#[tokio::test]
async fn lost_reply_is_an_error_and_the_call_is_not_repeated() {
    let server = RedisServer::start();
    let proxy = Proxy::to(&server).await;
    let redis = open(&proxy.config(&server).with_decide_within(Duration::from_millis(500)));
    within_timeout(redis.wait_until_available("key")).await;
    assert_eq!(count(&redis, "key").await, Ok(1));
    proxy.drop_next_reply();
    let calls_until_error = async {
        let mut sent = 1;
        while count(&redis, "key").await.is_ok() {
            sent += 1;
        }
        sent + 1
    };
    let sent: i64 = within_timeout(calls_until_error).await;
    within_timeout(redis.wait_until_available("key")).await;
    let ran = count(&redis, "key").await.unwrap() - 1;
    // The lost reply may belong to a health probe. In any case, no call ran more than once.
    assert!(ran == sent || ran == sent - 1, "{ran} ran, {sent} sent");

    let load = Load::start(&redis, "load");
    load.wait_for_progress().await;
    proxy.close_connections();
    load.wait_for_progress().await;
    proxy.set_stalled(true);
    within_timeout(async {
        while redis.health().state == ServerState::Up {
            let _ = count(&redis, "other").await;
        }
    })
    .await;
    proxy.set_stalled(false);
    load.wait_for_progress().await;
    assert!(load.stop().await > 0);
}

#[tokio::test]
async fn dropped_signals_end_the_subscription() {
    let server = RedisServer::start();
    let redis = server.redis().await;
    let (mut first, mut second) = (redis.signal("changed"), redis.signal("changed"));
    within_timeout(first.changed()).await;
    within_timeout(second.changed()).await;
    drop(first);
    assert!(server.command(&["PUBLISH", "changed", "now"]).await.starts_with(":1"));
    within_timeout(second.changed()).await;
    drop(second);
    server.wait_for_reply(&["PUBLISH", "changed", "now"], ":0").await;
}

#[tokio::test]
async fn running_processes_are_counted() {
    let server = RedisServer::start();
    let (first, second) = (server.redis().await, server.redis().await);
    let [key, info] = [first.keys().processes(), first.keys().processes_info()];
    server.wait_for_reply(&["ZCARD", &key], ":2").await;
    // One process that was last seen long ago, and one in an impossible future: both are removed.
    assert_eq!(server.command(&["ZADD", &key, "1", "old", "1e18", "odd"]).await, ":2\r\n");
    assert_eq!(server.command(&["HSET", &info, "old", "{}", "odd", "{}"]).await, ":2\r\n");
    let heartbeat = |process: &str| [process.into(), b"10000000".to_vec(), b"{}".to_vec()];
    let keys = [key, info];
    let alive = first.run(&tidegate_lua::PRESENCE, &keys, &heartbeat("third")).await;
    assert_eq!(integer_reply(alive), Ok(3));
    let counted = first.run(&tidegate_lua::PRESENCE, &keys, &heartbeat("")).await;
    assert_eq!(integer_reply(counted), Ok(3), "a process that only counts is not one of them");
    let mut ids: Vec<String> = first.fleet().await.unwrap().into_iter().map(|process| process.id).collect();
    ids.sort();
    assert!(ids.len() == 3 && ids.contains(&"third".to_owned()), "{ids:?}");
    assert!(first.health().processes >= 1 && second.health().processes >= 1);
}

#[tokio::test]
async fn read_only_client_is_not_a_process_of_the_fleet() {
    let server = RedisServer::start();
    let config = server.config().with_decide_within(Duration::from_secs(10));
    let reader = Redis::open_read_only(&config, Arc::new(SystemClock::new())).unwrap();
    within_timeout(reader.wait_until_available("")).await;
    // The heartbeat of this process is later than the first one of the reader.
    let process = open(&config);
    server.wait_for_reply(&["ZCARD", &process.keys().processes()], ":1").await;
    let [fleet, own] = [reader.fleet().await.unwrap(), process.fleet().await.unwrap()];
    assert_eq!((fleet.len(), fleet[0].is_self, fleet[0].info.pid), (1, false, std::process::id()));
    assert_eq!((own.len(), own[0].is_self, &own[0].id), (1, true, &fleet[0].id));
}
