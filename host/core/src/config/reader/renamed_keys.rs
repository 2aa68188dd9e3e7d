//! Keys that were renamed: a file with an old key gets an error that names the new one.

/// A key that was renamed.
struct RenamedKey {
    /// The top-level tables that contain the key; `policy` stands for every `[policy.NAME]`.
    tables: &'static [&'static str],
    old: &'static str,
    new: &'static str,
}

const POLICY_TABLES: &[&str] = &["policies", "policy"];

const RENAMED_KEYS: [RenamedKey; 12] = [
    RenamedKey { tables: &["alerting"], old: "redis_away_channels", new: "channels.redis_unavailable" },
    RenamedKey { tables: &["alerting"], old: "redis_unavailable_channels", new: "channels.redis_unavailable" },
    RenamedKey { tables: &["alerting"], old: "policy_channels", new: "channels.policy_quarantined" },
    RenamedKey { tables: &["alerting"], old: "policy_quarantined_channels", new: "channels.policy_quarantined" },
    RenamedKey { tables: &["decisions"], old: "sample", new: "sample_rate" },
    RenamedKey { tables: &["metrics"], old: "flush", new: "flush_interval" },
    RenamedKey { tables: &["retry"], old: "base", new: "base_delay" },
    RenamedKey { tables: &["retry"], old: "cap", new: "max_delay" },
    RenamedKey { tables: POLICY_TABLES, old: "max_text", new: "max_string_size" },
    RenamedKey { tables: POLICY_TABLES, old: "max_items", new: "max_collection_size" },
    RenamedKey { tables: POLICY_TABLES, old: "max_depth", new: "max_call_depth" },
    RenamedKey { tables: POLICY_TABLES, old: "max_table", new: "max_table_elements" },
];

/// Returns the new name of `key` in the section with this path, if the key was renamed.
pub(super) fn new_name(path: &str, key: &str) -> Option<&'static str> {
    let table = path.split('.').next()?;
    let renamed = RENAMED_KEYS.iter().find(|renamed| renamed.old == key && renamed.tables.contains(&table))?;
    Some(renamed.new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn diagnostics(text: &str) -> Vec<String> {
        Config::parse(text).err().iter().flatten().map(ToString::to_string).collect()
    }

    #[test]
    fn old_key_is_rejected_with_the_new_name() {
        for RenamedKey { tables, old, new } in RENAMED_KEYS {
            for table in tables {
                let path = if *table == "policy" { "policy.retry/x" } else { table };
                let header = if *table == "policy" { "policy.'retry/x'" } else { table };
                let expected = format!("2:1: {path}: unknown key `{old}`; it is now named `{new}`");
                assert_eq!(diagnostics(&format!("[{header}]\n{old} = 1")), [expected]);
                // The section reads the new key: a value of the wrong type is rejected at the key's own path.
                let prefix = format!("2:{}: {path}.{new}: expected ", new.len() + 4);
                let rejected = diagnostics(&format!("[{header}]\n{new} = true"));
                assert!(matches!(&rejected[..], [only] if only.starts_with(&prefix)), "{rejected:?}");
            }
        }
    }

    #[test]
    fn old_key_in_another_section_is_an_ordinary_unknown_key() {
        let expected = "2:1: metrics: unknown key `max_text`; expected one of `max_endpoints`, `flush_interval`";
        assert_eq!(diagnostics("[metrics]\nmax_text = 1"), [expected]);
    }
}
