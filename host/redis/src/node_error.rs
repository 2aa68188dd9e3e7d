//! Classifies the errors that a Redis node returns.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a node did not run a command, or returned an error for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The node cannot serve requests now; the command may have run or not.
    #[error("{0}")]
    Unavailable(String),
    /// The node does not have the script; it did not run.
    #[error("NOSCRIPT: unknown script")]
    NoScript,
    /// Another node has the key; the command did not run. Holds that node's address.
    #[error("MOVED: another node has the key")]
    Moved(String),
    /// The key is moving to another node, which must be asked for this request only; the command did not run. Holds
    /// that node's address.
    #[error("ASK: the key is moving to another node")]
    Ask(String),
    /// The keys are split between two nodes for now; the command did not run.
    #[error("TRYAGAIN: the keys are moving to another node")]
    TryAgain,
    /// The node works and rejected the command.
    #[error("{0}")]
    Refused(String),
}

/// The error codes of a node that serves no requests, or none of this user. The next command would fail in the same
/// way.
const UNAVAILABLE_CODES: [&str; 10] =
    ["LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "BUSY", "MISCONF", "NOREPLICAS", "OOM", "NOAUTH", "WRONGPASS"];

impl NodeError {
    /// Classifies an error; the result contains no secret.
    pub fn classify(error: &RedisError) -> Self {
        let node = || error.redirect_node().map(|(address, _)| address.to_owned());
        let unavailable = || Self::Unavailable(error_text(error));
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::NoScript,
            ErrorKind::Server(ServerErrorKind::TryAgain) => Self::TryAgain,
            ErrorKind::Server(ServerErrorKind::Moved) => node().map_or_else(unavailable, Self::Moved),
            ErrorKind::Server(ServerErrorKind::Ask) => node().map_or_else(unavailable, Self::Ask),
            ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
                Some(code) if UNAVAILABLE_CODES.contains(&code) => unavailable(),
                _ => Self::Refused(error_text(error)),
            },
            // After a reply that cannot be parsed, nothing that the connection delivers can be trusted.
            _ => unavailable(),
        }
    }
}

/// Returns what may be shown of an error: the message of the server, the system or TLS, and never an address.
pub fn error_text(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "WRONGPASS: the server rejected the user name or the password".to_owned(),
        ErrorKind::Server(_) | ErrorKind::Extension => match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("{code}: {}", without_arguments(detail)),
            (Some(code), None) => code.to_owned(),
            (None, _) => error.category().to_owned(),
        },
        ErrorKind::Io if error.is_timeout() => "connection timed out".to_owned(),
        ErrorKind::Io => {
            std::error::Error::source(error).map_or_else(|| "connection lost".to_owned(), |source| source.to_string())
        }
        _ => error.category().to_owned(),
    }
}

/// Removes the arguments that a server repeats when it does not know a command: they may include a password.
fn without_arguments(detail: &str) -> &str {
    detail.split_once(", with args beginning with").map_or(detail, |(message, _)| message)
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn classify_line(line: &str) -> NodeError {
        let value: Value = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        NodeError::classify(&value.extract_error().unwrap_err())
    }

    #[test]
    fn server_errors_are_classified_by_their_code() {
        let unavailable = |text: &str| NodeError::Unavailable(text.to_owned());
        let refused = |text: &str| NodeError::Refused(text.to_owned());
        let rows = [
            ("LOADING Redis is loading", unavailable("LOADING: Redis is loading")),
            ("MASTERDOWN Link with MASTER is down", unavailable("MASTERDOWN: Link with MASTER is down")),
            ("READONLY You can't write", unavailable("READONLY: You can't write")),
            ("CLUSTERDOWN The cluster is down", unavailable("CLUSTERDOWN: The cluster is down")),
            ("NOAUTH Authentication required.", unavailable("NOAUTH: Authentication required.")),
            ("OOM command not allowed", unavailable("OOM: command not allowed")),
            ("TRYAGAIN Multiple keys request", NodeError::TryAgain),
            ("NOSCRIPT No matching script.", NodeError::NoScript),
            ("MOVED 7 127.0.0.1:7001", NodeError::Moved("127.0.0.1:7001".to_owned())),
            ("ASK 7 127.0.0.1:7002", NodeError::Ask("127.0.0.1:7002".to_owned())),
            ("NOPERM User ann has no permissions", refused("NOPERM: User ann has no permissions")),
            ("ERR value is not an integer", refused("ERR: value is not an integer")),
            ("ERR unknown command 'HELLO', with args beginning with: '3' 'x'", refused("ERR: unknown command 'HELLO'")),
            ("WRONGTYPE Operation against a key", refused("WRONGTYPE: Operation against a key")),
        ];
        for (line, expected) in rows {
            assert_eq!(classify_line(line), expected, "{line}");
        }
    }

    #[test]
    fn connection_errors_name_their_cause() {
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(NodeError::classify(&refused), NodeError::Unavailable("connection refused".to_owned()));
        let wrong_password = RedisError::from((ErrorKind::AuthenticationFailed, "Password authentication failed"));
        assert!(error_text(&wrong_password).starts_with("WRONGPASS"));
    }
}
