//! What an error of Redis means for whoever asked.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What became of a command that was answered with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The server is no use now; the command may have run or not.
    #[error("{0}")]
    Away(String),
    /// The script is not known here; it did not run.
    #[error("NOSCRIPT: the script is not known")]
    NoScript,
    /// The key lives on another node; the command did not run.
    #[error("MOVED: the key lives on another node")]
    Moved(String),
    /// The key is on its way to another node, which must be asked this once; the command did not run.
    #[error("ASK: the key is on its way to another node")]
    Ask(String),
    /// The keys are on two nodes at once for a moment; the command did not run.
    #[error("TRYAGAIN: the keys are on their way to another node")]
    TryAgain,
    /// The server is fine and says no.
    #[error("{0}")]
    Refused(String),
}

/// Answers of a server that serves nobody, or not us: what comes next would fail like what came before.
const NO_USE: [&str; 10] =
    ["LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "BUSY", "MISCONF", "NOREPLICAS", "OOM", "NOAUTH", "WRONGPASS"];

impl Fault {
    /// Reads an error; no secret gets into what it says.
    pub fn of(error: &RedisError) -> Self {
        let node = || error.redirect_node().map(|(address, _)| address.to_owned());
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::NoScript,
            ErrorKind::Server(ServerErrorKind::TryAgain) => Self::TryAgain,
            ErrorKind::Server(ServerErrorKind::Moved) => node().map_or_else(|| Self::Away(text(error)), Self::Moved),
            ErrorKind::Server(ServerErrorKind::Ask) => node().map_or_else(|| Self::Away(text(error)), Self::Ask),
            ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
                Some(code) if NO_USE.contains(&code) => Self::Away(text(error)),
                _ => Self::Refused(text(error)),
            },
            // An answer that cannot be read leaves a connection on which nothing can be trusted.
            _ => Self::Away(text(error)),
        }
    }
}

/// What may be shown of an error: what a server said, or what the system or TLS said, and never an address.
pub fn text(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "WRONGPASS: the server refuses the user or the password".to_owned(),
        ErrorKind::Server(_) | ErrorKind::Extension => match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("{code}: {}", without_arguments(detail)),
            (Some(code), None) => code.to_owned(),
            (None, _) => error.category().to_owned(),
        },
        ErrorKind::Io if error.is_timeout() => "the connection was not made in time".to_owned(),
        ErrorKind::Io => std::error::Error::source(error)
            .map_or_else(|| "the connection was lost".to_owned(), |source| source.to_string()),
        _ => error.category().to_owned(),
    }
}

/// Whoever does not know a command repeats what came with it, and that may be a password.
fn without_arguments(detail: &str) -> &str {
    detail.split_once(", with args beginning with").map_or(detail, |(told, _)| told)
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn said(line: &str) -> Fault {
        let value: Value = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        Fault::of(&value.extract_error().unwrap_err())
    }

    #[test]
    fn what_a_server_says_is_told_apart() {
        let away = |text: &str| Fault::Away(text.to_owned());
        let refused = |text: &str| Fault::Refused(text.to_owned());
        let rows = [
            ("LOADING Redis is loading", away("LOADING: Redis is loading")),
            ("MASTERDOWN Link with MASTER is down", away("MASTERDOWN: Link with MASTER is down")),
            ("READONLY You can't write", away("READONLY: You can't write")),
            ("CLUSTERDOWN The cluster is down", away("CLUSTERDOWN: The cluster is down")),
            ("NOAUTH Authentication required.", away("NOAUTH: Authentication required.")),
            ("OOM command not allowed", away("OOM: command not allowed")),
            ("TRYAGAIN Multiple keys request", Fault::TryAgain),
            ("NOSCRIPT No matching script.", Fault::NoScript),
            ("MOVED 7 127.0.0.1:7001", Fault::Moved("127.0.0.1:7001".to_owned())),
            ("ASK 7 127.0.0.1:7002", Fault::Ask("127.0.0.1:7002".to_owned())),
            ("NOPERM User ann has no permissions", refused("NOPERM: User ann has no permissions")),
            ("ERR value is not an integer", refused("ERR: value is not an integer")),
            ("ERR unknown command 'HELLO', with args beginning with: '3' 'x'", refused("ERR: unknown command 'HELLO'")),
            ("WRONGTYPE Operation against a key", refused("WRONGTYPE: Operation against a key")),
        ];
        for (line, fault) in rows {
            assert_eq!(said(line), fault, "{line}");
        }
    }

    #[test]
    fn a_connection_that_breaks_says_how() {
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert_eq!(Fault::of(&refused), Fault::Away("connection refused".to_owned()));
        let wrong = RedisError::from((ErrorKind::AuthenticationFailed, "Password authentication failed"));
        assert!(text(&wrong).starts_with("WRONGPASS"));
    }
}
