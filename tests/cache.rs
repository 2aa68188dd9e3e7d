//! Compiled components on disk: they spare a start the compiler, and nothing but what the host wrote is run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tidegate_core::Failure;
use tidegate_core::config::PoliciesConfig;
use tidegate_policy::Policies;
use tidegate_tests::corpus::Hostile;

use crate::policies::policies_config;

/// Long before the tests.
const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);

/// A directory of policies with one component, and a cache.
struct Host {
    temp: TempDir,
    config: PoliciesConfig,
}

impl Host {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("policies");
        fs::create_dir_all(dir.join("retry")).unwrap();
        let cache = temp.path().join("cache");
        let host = Self { config: PoliciesConfig { cache: Some(cache), ..policies_config(&dir) }, temp };
        host.save("jd");
        host
    }

    /// Saves the well-behaved component as the classifier of a platform; each platform's has bytes of its own.
    fn save(&self, platform: &str) {
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/well_behaved.wat");
        let mut bytes = Hostile::read(&guest).unwrap().bytes;
        bytes.extend([0, u8::try_from(platform.len() + 1).unwrap(), u8::try_from(platform.len()).unwrap()]);
        bytes.extend(platform.as_bytes());
        fs::write(self.config.dir.join("retry").join(format!("{platform}.wasm")), bytes).unwrap();
    }

    fn open(&self) -> Arc<Policies> {
        Policies::open(&self.config)
    }

    /// The files of the cache, whatever their names.
    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temp.path().join("cache")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The one entry, made old, so that its use shows.
    fn aged(&self) -> PathBuf {
        let [entry] = &self.entries()[..] else { panic!("{:?}", self.entries()) };
        fs::File::open(entry).unwrap().set_modified(SystemTime::UNIX_EPOCH + LONG_AGO).unwrap();
        entry.clone()
    }
}

fn age(entry: &Path) -> Duration {
    fs::metadata(entry).unwrap().modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// The component decides, wherever its compiled form came from.
fn decides(policies: &Policies) -> bool {
    let failure = Failure { platform: "jd".into(), status: Some(200), ..Failure::default() };
    &*policies.classify(&failure).by == "retry/jd.wasm"
}

#[test]
fn a_second_start_takes_what_the_first_one_compiled() {
    let host = Host::new();
    assert!(decides(&host.open()));
    let (entry, bytes) = (host.aged(), fs::read(host.aged()).unwrap());
    assert!(decides(&host.open()));
    assert!(age(&entry) > LONG_AGO, "it was of use");
    assert_eq!(fs::read(&entry).unwrap(), bytes, "and was not written again");
}

#[test]
fn an_entry_that_is_not_whole_is_passed_over_and_written_again() {
    let good = {
        let host = Host::new();
        host.open();
        fs::read(host.aged()).unwrap()
    };
    let half = good[..good.len() / 2].to_vec();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for spoilt in [vec![], half, flipped, b"garbage".to_vec()] {
        let host = Host::new();
        host.open();
        let entry = host.aged();
        fs::write(&entry, &spoilt).unwrap();
        assert!(decides(&host.open()), "{} bytes", spoilt.len());
        assert_eq!(fs::read(&entry).unwrap().len(), good.len(), "{} bytes", spoilt.len());
    }
}

#[test]
fn an_entry_that_others_may_have_written_is_passed_over() {
    let host = Host::new();
    host.open();
    let entry = host.aged();
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(decides(&host.open()));
    assert_eq!(fs::metadata(&entry).unwrap().permissions().mode() & 0o777, 0o600, "it was written anew");
}

#[test]
fn a_cache_that_others_may_write_into_is_not_used_and_costs_no_verdict() {
    let host = Host::new();
    host.open();
    let entry = host.aged();
    fs::set_permissions(host.temp.path().join("cache"), fs::Permissions::from_mode(0o777)).unwrap();
    let policies = host.open();
    assert!(decides(&policies), "{:?}", policies.status());
    assert_eq!(age(&entry), LONG_AGO, "nobody looked at it");
}

#[test]
fn a_cache_that_cannot_be_made_costs_no_verdict() {
    let mut host = Host::new();
    let file = host.temp.path().join("file");
    fs::write(&file, "no directory").unwrap();
    host.config.cache = Some(file);
    assert!(decides(&host.open()));
}

#[test]
fn the_cache_keeps_to_its_size_and_leaves_no_halves() {
    let mut host = Host::new();
    host.open();
    let one = fs::metadata(host.aged()).unwrap().len();
    host.config.cache_size = one * 5 / 2;
    for platform in ["tmall", "taobao", "vipshop", "suning"] {
        host.save(platform);
        host.open();
    }
    let entries = host.entries();
    let total: u64 = entries.iter().map(|entry| fs::metadata(entry).unwrap().len()).sum();
    assert!((one..=host.config.cache_size).contains(&total), "{total} bytes in {entries:?}");
    assert_eq!(entries.len(), 2, "two have room, and nothing else is left behind");
}
