//! Which of a cluster's slots a key is in, and which node has which slots.

use redis::Value;

use crate::source::text;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// Slots that one node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first slot.
    pub first: u16,
    /// The last slot.
    pub last: u16,
    /// The node's host; empty where it is the one that was asked.
    pub host: String,
    /// The node's port.
    pub port: u16,
}

/// The slot of a key: that of its hash tag, where it has one.
pub fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the cluster specification names it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

/// Whether every slot is somewhere.
pub fn complete(ranges: &[Range]) -> bool {
    ranges.iter().map(|range| u32::from(range.last - range.first) + 1).sum::<u32>() == u32::from(SLOTS)
}

/// Reads the answer to `CLUSTER SLOTS`; `None` where it is none.
pub fn read(answer: &Value) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else { return None };
    ranges.iter().map(range).collect()
}

/// First slot, last slot, the node that has them, its replicas.
fn range(value: &Value) -> Option<Range> {
    let Value::Array(parts) = value else { return None };
    let [first, last, Value::Array(node), ..] = parts.as_slice() else { return None };
    let (first, last) = (number(first)?, number(last)?);
    let host = node.first().and_then(text).filter(|host| *host != "?").unwrap_or_default();
    let fine = first <= last && last < SLOTS;
    fine.then_some(Range { first, last, host: host.to_owned(), port: number(node.get(1)?)? })
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // 0x31C3 is the specification's own check value.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let rows = [
            ("foo", 12_182),
            ("{user1000}.following", slot("user1000")),
            ("foo{}{bar}", crc16(b"foo{}{bar}") % SLOTS),
            ("foo{{bar}}zap", slot("{bar")),
            ("foo{bar}{zap}", slot("bar")),
        ];
        for (key, expected) in rows {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    fn answer(first: i64, last: i64, host: Value) -> Value {
        let node = Value::Array(vec![host, Value::Int(7_000), Value::BulkString(b"id".to_vec())]);
        Value::Array(vec![Value::Array(vec![Value::Int(first), Value::Int(last), node])])
    }

    #[test]
    fn a_map_is_read_or_refused_as_a_whole() {
        let host = || Value::BulkString(b"10.0.0.1".to_vec());
        let ranges = read(&answer(0, 16_383, host())).unwrap();
        assert_eq!(ranges, [Range { first: 0, last: 16_383, host: "10.0.0.1".to_owned(), port: 7_000 }]);
        assert!(complete(&ranges));
        assert!(!complete(&read(&answer(0, 16_382, host())).unwrap()));
        // A node that does not know its own address is at the one that was asked.
        assert_eq!(read(&answer(0, 1, Value::Nil)).unwrap()[0].host, "");
        for (first, last) in [(0, 16_384), (2, 1), (-1, 1)] {
            assert_eq!(read(&answer(first, last, host())), None, "{first} to {last}");
        }
        assert_eq!(read(&Value::Nil), None);
    }
}
