//! Text files that a configuration consists of or refers to.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The maximum size of a file, in bytes. Without it, a device such as `/dev/zero` would be read forever.
const MAX_SIZE: u64 = 1 << 20;

/// Reads a file of at most 1 MiB, also from a pipe or a device.
pub fn read(path: &Path) -> io::Result<String> {
    read_limited(File::open(path)?)
}

/// Reads a regular file of at most 1 MiB. Opening a pipe would wait until another process writes to it.
pub fn read_regular(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
    }
    read(path)
}

fn read_limited(file: impl Read) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_a_file_is_limited() {
        for (size, is_read) in [(0, true), (1 << 20, true), ((1 << 20) + 1, false), (u64::MAX, false)] {
            assert_eq!(read_limited(io::repeat(b'x').take(size)).is_ok(), is_read, "{size}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn device_is_no_regular_file() {
        for (device, is_read) in [("/dev/null", true), ("/dev/zero", false)] {
            assert_eq!(read(Path::new(device)).is_ok(), is_read, "{device}");
            let error = read_regular(Path::new(device)).unwrap_err().to_string();
            assert_eq!(error, "expected a regular file", "{device}");
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(read_regular(&file).is_ok() && read_regular(file.parent().unwrap()).is_err());
    }
}
