//! Hash slots of a cluster: the slot of a key, and the reply to `CLUSTER SLOTS`.

use redis::Value;

use crate::codec::reply_text;

/// The number of slots of a cluster.
const SLOT_COUNT: u16 = 16_384;

/// A range of slots that one node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first slot.
    pub first: u16,
    /// The last slot.
    pub last: u16,
    /// The node's host; empty if it is the host of the node that replied.
    pub host: String,
    /// The node's port.
    pub port: u16,
}

/// Returns the slot of a key: that of its hash tag, if it has one.
pub fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOT_COUNT
}

/// Returns the CRC-16/XMODEM of `bytes`, which the cluster specification prescribes.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

/// Returns whether the ranges include every slot.
pub fn cover_all_slots(ranges: &[SlotRange]) -> bool {
    ranges.iter().map(|range| u32::from(range.last - range.first) + 1).sum::<u32>() == u32::from(SLOT_COUNT)
}

/// Parses the reply to `CLUSTER SLOTS`; `None` if it has an unexpected form.
pub fn parse_slot_ranges(reply: &Value) -> Option<Vec<SlotRange>> {
    let Value::Array(ranges) = reply else { return None };
    ranges.iter().map(parse_range).collect()
}

/// Parses one range: its first slot, its last slot and the node that has them. Replicas are ignored.
fn parse_range(value: &Value) -> Option<SlotRange> {
    let Value::Array(parts) = value else { return None };
    let [first, last, Value::Array(node), ..] = parts.as_slice() else { return None };
    let (first, last) = (parse_u16(first)?, parse_u16(last)?);
    let host = node.first().and_then(reply_text).filter(|host| *host != "?").unwrap_or_default();
    let valid = first <= last && last < SLOT_COUNT;
    valid.then_some(SlotRange { first, last, host: host.to_owned(), port: parse_u16(node.get(1)?)? })
}

fn parse_u16(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_match_the_cluster_specification() {
        // 0x31C3 is the check value in the specification.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let rows = [
            ("foo", 12_182),
            ("{user1000}.following", slot("user1000")),
            ("foo{}{bar}", crc16(b"foo{}{bar}") % SLOT_COUNT),
            ("foo{{bar}}zap", slot("{bar")),
            ("foo{bar}{zap}", slot("bar")),
        ];
        for (key, expected) in rows {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    fn reply(first: i64, last: i64, host: Value) -> Value {
        let node = Value::Array(vec![host, Value::Int(7_000), Value::BulkString(b"id".to_vec())]);
        Value::Array(vec![Value::Array(vec![Value::Int(first), Value::Int(last), node])])
    }

    #[test]
    fn an_invalid_range_makes_the_whole_reply_invalid() {
        let host = || Value::BulkString(b"10.0.0.1".to_vec());
        let ranges = parse_slot_ranges(&reply(0, 16_383, host())).unwrap();
        assert_eq!(ranges, [SlotRange { first: 0, last: 16_383, host: "10.0.0.1".to_owned(), port: 7_000 }]);
        assert!(cover_all_slots(&ranges));
        assert!(!cover_all_slots(&parse_slot_ranges(&reply(0, 16_382, host())).unwrap()));
        // A node that does not know its own host sends no host.
        assert_eq!(parse_slot_ranges(&reply(0, 1, Value::Nil)).unwrap()[0].host, "");
        for (first, last) in [(0, 16_384), (2, 1), (-1, 1)] {
            assert_eq!(parse_slot_ranges(&reply(first, last, host())), None, "{first} to {last}");
        }
        assert_eq!(parse_slot_ranges(&Value::Nil), None);
    }
}
