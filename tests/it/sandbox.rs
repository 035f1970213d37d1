//! What a process can't do any more once it has entered the sandbox.

use std::{fs, io::ErrorKind, net::TcpListener, thread};

use faceswap::sandbox::{Sandbox, Support, support};

use crate::{
    media::{has_ffmpeg, make},
    round_trip::pass_through,
};

#[test]
fn inside_nothing_else_is_read_written_or_connected_to() {
    if support() == Support::Nothing {
        eprintln!("skipped: this kernel has no Landlock");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().to_path_buf();
    let path = move |name: &str| root.join(name);
    for name in ["in", "out", "private"] {
        fs::create_dir(path(name)).expect("made");
        fs::write(path(name).join("a"), name).expect("written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // What is taken away can't be had back: only this one thread loses it.
    let inside = thread::spawn(move || {
        let sandbox = Sandbox::default().reading(path("in/a")).writing(&path("out/new"));
        let entered = sandbox.enter().expect("entered");
        let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
        assert_eq!(fs::read(path("in/a")).expect("allowed"), b"in");
        fs::write(path("out/new"), "new").expect("allowed");
        fs::rename(path("out/new"), path("out/named")).expect("allowed");
        assert!(denied(fs::write(path("in/a"), "x").expect_err("an input")));
        assert!(denied(fs::read(path("private/a")).expect_err("no business of ours")));
        assert!(denied(fs::write(path("private/b"), "x").expect_err("no business of ours")));
        assert!(denied(fs::remove_file(path("in/a")).expect_err("an input")));
        // Whoever is started from here is inside, too.
        let child = thread::spawn(move || fs::read(path("private/a")).map_err(denied));
        assert_eq!(child.join().expect("no panic"), Err(true));
        let asked = std::net::TcpStream::connect(address);
        assert!(entered != Support::FilesAndTcp || asked.is_err_and(denied));
    });
    inside.join().expect("all holds");
}

#[test]
fn outputs_of_all_kinds_are_written_from_inside() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let clip = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.4 -c:v libx264 -pix_fmt yuv420p";
    fs::create_dir(dir.path().join("in")).expect("made");
    let input = make(&dir.path().join("in"), "a.mp4", clip);
    fs::create_dir(dir.path().join("elsewhere")).expect("made");
    std::os::unix::fs::symlink(
        make(&dir.path().join("elsewhere"), "b.mp4", clip),
        dir.path().join("in/b.mp4"),
    )
    .expect("linked");
    let folder = dir.path().join("in");
    let at = |name: &str| dir.path().join(name);
    for (from, to, more) in [
        (&input, "out.mkv", vec![]),
        (&input, "pictures/new/%03d.png", vec![]),
        (&folder, "new_folder", vec!["--follow-symlinks"]),
        (&at("in/b.mp4"), "linked.mkv", vec![]),
        (&at("in/b.mp4"), "free.mkv", vec!["--no-sandbox"]),
    ] {
        let (code, told, report) = pass_through(from, &at(to), &more);
        assert_eq!(code, Some(0), "{to}: {told}");
        assert!(!report.is_null(), "{to}: the report is written, too");
    }
    assert!(at("pictures/new/010.png").is_file());
    assert!(at("new_folder/a.mp4").is_file() && at("new_folder/b.mp4").is_file());
    // Nobody who fills a folder chooses files elsewhere.
    let (code, told, _) = pass_through(&folder, &at("other"), &[]);
    assert!(code == Some(0) && told.contains("1 symbolic links are left out"), "{told}");
    assert!(at("other/a.mp4").is_file() && !at("other/b.mp4").exists());
}
