//! Encodes the arguments of scripts and decodes replies.

use redis::{FromRedisValue, Value};
use tidegate_core::StoreError;

/// Decodes the reply to a command or script; the error names the command.
pub fn decode_reply<T: FromRedisValue>(command: &str, reply: Value) -> Result<T, StoreError> {
    redis::from_redis_value(reply)
        .map_err(|error| StoreError::failed(format!("unexpected reply to {command}: {error}")))
}

/// Encodes one argument of a script.
pub fn encode_arg(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Returns the text of a string reply.
pub fn reply_text(reply: &Value) -> Option<&str> {
    match reply {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
