//! Folders that cannot be written, and a disk that is full.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::child::Process;

/// A user and a group whom permissions bind, as they do not bind root.
const NOBODY: u32 = 65_534;

/// Runs a child through a line of shell, which ends with `exec "$@"`.
fn through_shell(line: &'static str) -> impl FnOnce(Command) -> Command {
    move |inner| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line, "sh"]).arg(inner.get_program()).args(inner.get_args());
        shell
    }
}

/// Runs a child as another user, from a copy of this program in a folder that this user can enter.
fn as_nobody(folder: &Path) -> impl FnOnce(Command) -> Command {
    let (this, copy) = (std::env::current_exe().expect("this program"), folder.join("program"));
    std::fs::hard_link(&this, &copy).or_else(|_| std::fs::copy(&this, &copy).map(drop)).expect("a copy");
    set_mode(folder, 0o755);
    move |inner| {
        let mut command = Command::new(copy);
        command.args(inner.get_args()).uid(NOBODY).gid(NOBODY);
        command
    }
}

/// A write that fails in its middle, as on a full disk: files may have 4 kB, and who writes more gets an error.
#[test]
fn a_full_disk_loses_what_does_not_fit_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let mut before = Process::start(path);
    assert_eq!(before.ask("put 0 5000"), 5_000);
    assert_eq!(before.ask("flush"), 1);

    let limit = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let mut full = Process::start_with(path, through_shell(limit));
    assert_eq!(full.ask("found 0 5000"), 5_000);
    assert_eq!(full.ask("put 5000 10000"), 5_000);
    assert_eq!(full.ask("flush"), 1);
    assert_eq!(full.ask("found 0 10000"), 10_000, "a process forgets what it could not write");
    assert_eq!(Process::start(path).ask("found 0 10000"), 5_000);
    assert_eq!(before.ask("put 5000 6000"), 1_000);
    assert_eq!(before.ask("flush"), 1);
    assert_eq!(Process::start(path).ask("found 0 10000"), 6_000);
}

/// Whether this process may write where permissions forbid it.
fn is_root() -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    set_mode(folder.path(), 0o555);
    let written = std::fs::write(folder.path().join("x"), "").is_ok();
    set_mode(folder.path(), 0o755);
    written
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("an own file");
}

/// Sets the mode of folders, and of files without what makes a folder one that can be entered.
fn set_mode_below(path: &Path, mode: u32) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => set_mode_below(&entry.path(), mode),
            false => set_mode(&entry.path(), mode & 0o666),
        }
    }
    set_mode(path, mode);
}

#[test]
fn a_folder_that_may_only_be_read_serves_its_scores() {
    let (folder, programs) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let path = folder.path().to_str().expect("UTF-8");
    let mut writer = Process::start(path);
    assert_eq!(writer.ask("put 0 1000"), 1_000);
    assert_eq!(writer.ask("flush"), 1);
    drop(writer);
    let is_root = is_root();
    set_mode_below(folder.path(), 0o555);
    let mut reader = match is_root {
        true => Process::start_with(path, as_nobody(programs.path())),
        false => Process::start(path),
    };
    assert_eq!(reader.ask("found 0 2000"), 1_000);
    assert_eq!(reader.ask("put 1000 2000"), 1_000);
    assert_eq!(reader.ask("flush"), 1);
    assert_eq!(reader.ask("found 0 2000"), 2_000);
    drop(reader);
    set_mode_below(folder.path(), 0o755);
    assert_eq!(Process::start(path).ask("found 0 2000"), 1_000, "the folder could be written");
}
