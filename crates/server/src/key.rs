//! The key that stored secrets are encrypted under: a file, readable by its owner alone, in the data directory or where the
//! operator says. All nodes of a catalog have the same one, so none makes one up for a catalog that is shared.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};
use model::Digest;

use crate::config::Site;

const NAME: &str = "secret.key";

/// The key of a store.
pub(crate) fn of(site: &Site) -> anyhow::Result<[u8; 32]> {
    match &site.key_file {
        Some(file) => read_file(file),
        None if site.is_shared() && !site.data.join(NAME).exists() => bail!(
            "a catalog that nodes share needs the key that all of them have: --key-file FILE, with 64 hex digits \
             (made once, by `openssl rand -hex 32`)"
        ),
        None => read_or_make(&site.data),
    }
}

fn read_file(file: &Path) -> anyhow::Result<[u8; 32]> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let key = Digest::from_hex(text.trim_end().as_bytes());
    Ok(key.with_context(|| format!("{} is not a key of 64 hex digits", file.display()))?.0)
}

/// The key in `data`; a new one where there is neither key nor catalog.
pub(crate) fn read_or_make(data: &Path) -> anyhow::Result<[u8; 32]> {
    let path = data.join(NAME);
    match File::open(&path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            match Digest::from_hex(text.trim_end().as_bytes()) {
                Some(key) => Ok(key.0),
                None if text.is_empty() && !data.join("catalog").exists() => {
                    // The very first start ended between making the file and writing it: nothing uses it yet.
                    fs::remove_file(&path)?;
                    make(data)
                }
                None => bail!("{} is not a key of 64 hex digits", path.display()),
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            if data.join("catalog").exists() {
                bail!(
                    "{} is missing: restore it from a backup of the data directory",
                    path.display()
                );
            }
            make(data)
        }
        Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
    }
}

fn make(data: &Path) -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
    put(data, &key)?;
    Ok(key)
}

/// The key in `data`, which must be there.
pub(crate) fn read(data: &Path) -> anyhow::Result<[u8; 32]> {
    if !data.join(NAME).exists() {
        bail!("{} is missing", data.join(NAME).display());
    }
    read_or_make(data)
}

/// Puts a key into `data`, which has none. It is durable when this returns: before anything is encrypted under it, and
/// after all that it makes readable.
pub(crate) fn put(data: &Path, key: &[u8; 32]) -> anyhow::Result<()> {
    put_file(&data.join(NAME), key)
}

fn put_file(path: &Path, key: &[u8; 32]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("making {}", path.display()))?;
    file.write_all(Digest(*key).to_hex().as_bytes())?;
    file.sync_all()?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Gives the key to a store at another place, which has it already or none.
pub(crate) fn hand_on(there: &Site, key: &[u8; 32]) -> anyhow::Result<()> {
    let file = there.key_file.clone().unwrap_or_else(|| there.data.join(NAME));
    if !file.exists() {
        return put_file(&file, key);
    }
    if read_file(&file)? != *key {
        bail!("{} is another key than the one of the store that is moved", file.display());
    }
    Ok(())
}

/// Takes the key out of `data`, so that nothing there is taken for a store, whatever happens next.
pub(crate) fn withdraw(data: &Path) -> anyhow::Result<()> {
    match fs::remove_file(data.join(NAME)) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
        Ok(()) | Err(_) => {}
    }
    File::open(data)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn made_once_then_read() {
        let dir = tempfile::tempdir().unwrap();
        let key = read_or_make(dir.path()).unwrap();
        assert_eq!(read_or_make(dir.path()).unwrap(), key);
        let mode = fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn never_made_anew_beside_a_catalog() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("catalog")).unwrap();
        assert!(read_or_make(dir.path()).is_err());
        fs::write(dir.path().join(NAME), "short").unwrap();
        assert!(read_or_make(dir.path()).is_err());
    }
}
