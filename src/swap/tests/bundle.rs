use std::path::PathBuf;

use super::*;
use crate::{
    Error,
    swap::{Basis, Bundle, find, installed},
};

/// A good bundle in a temporary folder with one part of its manifest replaced.
fn load_with(from: &str, to: &str) -> Result<Bundle, Error> {
    let dir = tempfile::tempdir().unwrap();
    write_tiny(dir.path(), "tiny");
    let path = dir.path().join("identity.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    Bundle::load(dir.path())
}

#[test]
fn a_bundle_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    write_tiny(dir.path(), "Älva 2");
    let bundle = Bundle::load(dir.path()).unwrap();
    assert_eq!(
        (bundle.name.as_str(), bundle.side_px, bundle.margin, bundle.has_mask),
        ("Älva 2", 16, 1.3, true)
    );
    assert_eq!(bundle.manifest.consent.basis, Basis::Synthetic);
    assert_eq!(bundle.to_string(), "Älva 2  16 px  nobody (synthetic, 2026-11-21)  CC0-1.0");
    let again: crate::swap::Manifest = toml::from_str(&toml::to_string(&bundle.manifest).unwrap()).unwrap();
    assert_eq!(again, bundle.manifest);
}

/// Every refusal names the file, the value, and the way out.
#[test]
fn what_is_wrong_with_a_manifest_is_said() {
    let cases = [
        (
            "schema = \"faceswap-identity-1\"",
            "schema = \"faceswap-identity-9\"",
            "\"faceswap-identity-9\", this version reads",
        ),
        ("schema = \"faceswap-identity-1\"\n", "", "has no schema"),
        ("name = \"tiny\"", "name = \"../tiny\"", "without /"),
        ("side_px = 16", "side_px = 1", "8 to 4096"),
        ("side_px = 16", "side_px = \"16\"", "side_px"),
        ("side_px = 16\n", "", "missing field `side_px`"),
        ("side_px = 16", "side_px = 16\ncolour = 1", "unknown field `colour`"),
        ("\"rgb\"", "\"bgr\"", "must be \"rgb\""),
        ("[0.0, 1.0]", "[-1.0, 1.0]", "must be [0.0, 1.0]"),
        ("margin = 1.3", "margin = nan", "0.5 to 4"),
        ("mesh-inner-v1", "mesh-outer-v7", "mesh-outer-v7"),
        ("sha256 = \"", "sha256 = \"zz", "64 hexadecimal digits"),
        ("basis = \"synthetic\"", "basis = synthetic", "expected"),
    ];
    for (from, to, message) in cases {
        let error = load_with(from, to).unwrap_err();
        assert!(matches!(error, Error::BadModel { .. }), "{to}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(message) && text.contains("identity.toml"), "{to}: {text}");
    }
}

#[test]
fn no_consent_no_bundle() {
    let cases = [
        (
            "[consent]\nsubject = \"nobody\"\nbasis = \"synthetic\"\ndate = \"2026-11-21\"\n",
            "",
            "[consent]\nsubject = ",
        ),
        ("subject = \"nobody\"", "subject = \"  \"", "names nobody"),
        ("subject = \"nobody\"\n", "", "names nobody"),
        ("basis = \"synthetic\"", "basis = \"famous\"", "\"famous\" is no ground"),
        ("basis = \"synthetic\"\n", "", "self, written, licence, synthetic or public-domain"),
        ("2026-11-21", "yesterday", "\"yesterday\" under [consent] must be a day"),
    ];
    for (from, to, message) in cases {
        let error = load_with(from, to).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{to}: {error:?}");
        assert!(error.to_string().contains(message), "{to}: {error}");
    }
}

/// The lines that the refusal asks for are enough.
#[test]
fn the_lines_for_a_consent_are_right() {
    let consent = "[consent]\nsubject = \"nobody\"\nbasis = \"synthetic\"\ndate = \"2026-11-21\"\n";
    let message = load_with(consent, "").unwrap_err().to_string();
    let lines = message.split_once("[consent]").unwrap().1.replace("YYYY-MM-DD", "2026-01-31");
    assert_eq!(
        load_with(consent, &format!("[consent]{lines}")).unwrap().manifest.consent.basis,
        Basis::Written
    );
}

#[test]
fn a_changed_network_is_named_with_both_sums() {
    let dir = tempfile::tempdir().unwrap();
    write_tiny(dir.path(), "tiny");
    let path = dir.path().join("decoder.onnx");
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    fs::write(&path, &bad).unwrap();
    let message = Bundle::load(dir.path()).unwrap_err().to_string();
    for part in ["decoder.onnx", &sha256(&good), &sha256(&bad)] {
        assert!(message.contains(part), "{message}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(Bundle::load(dir.path()).unwrap_err(), Error::Io { .. }));
}

#[test]
fn a_path_out_of_the_folder_is_refused() {
    for file in ["../decoder.onnx", "/etc/passwd", "a/../../decoder.onnx", "./decoder.onnx", ""] {
        let error = load_with("file = \"decoder.onnx\"", &format!("file = {file:?}")).unwrap_err();
        assert!(
            matches!(error, Error::Refused { .. }) && error.to_string().contains("leads out"),
            "{file}: {error:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_tiny(dir.path(), "tiny");
    let path = dir.path().join("decoder.onnx");
    fs::rename(&path, other.path().join("decoder.onnx")).unwrap();
    std::os::unix::fs::symlink(other.path().join("decoder.onnx"), &path).unwrap();
    assert!(matches!(Bundle::load(dir.path()).unwrap_err(), Error::Refused { .. }));
}

#[test]
fn networks_that_do_not_fit_are_said_with_their_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let load = |encoder: &[u8], decoder: &[u8]| {
        write_bundle(dir.path(), "tiny", encoder, decoder);
        Bundle::load(dir.path()).unwrap_err().to_string()
    };
    let message = load(&tiny_encoder(), &tiny_decoder(32, 0.0));
    assert!(
        message.contains("face [any, 3, 32, 32], by the manifest it must be [any, 3, 16, 16]"),
        "{message}"
    );
    let message = load(&tiny_encoder(), &tiny_encoder());
    assert!(
        message.contains("face [any, 3, 16, 16], by the manifest it must be [any, 3, 1, 1]"),
        "{message}"
    );
    let message = load(&tiny_decoder(16, 0.0), &tiny_decoder(16, 0.0));
    assert!(message.contains("encoder.onnx") && message.contains("latent [any, 3, 1, 1]"), "{message}");
    let message = load(&tiny_encoder(), b"no network at all");
    assert!(message.contains("decoder.onnx") && message.contains("not an ONNX file"), "{message}");
}

#[test]
fn identities_are_found_by_name_in_the_order_of_the_folders() {
    let dir = tempfile::tempdir().unwrap();
    let dirs: Vec<PathBuf> = ["x", "y", "none"].map(|name| dir.path().join(name)).into();
    write_tiny(&dirs[0].join("A"), "A");
    write_tiny(&dirs[1].join("identities/A"), "A");
    write_tiny(&dirs[1].join("identities/folder"), "B");
    fs::create_dir_all(dirs[1].join("identities/broken")).unwrap();
    fs::write(dirs[1].join("identities/broken/identity.toml"), "schema = 3").unwrap();
    fs::create_dir_all(dirs[1].join("identities/empty")).unwrap();
    // Left behind by an export that was killed.
    write_tiny(&dirs[1].join("identities/.A.4711.old"), "A");

    let all = installed(&dirs);
    let names: Vec<_> = all.iter().map(|i| (i.name.as_str(), i.bundle.is_ok())).collect();
    assert_eq!(names, [("A", true), ("A", true), ("broken", false), ("B", true)]);
    assert_eq!(find("A", &dirs).unwrap().dir, dirs[0].join("A"));
    assert_eq!(find("B", &dirs).unwrap().dir, dirs[1].join("identities/folder"));
    assert!(matches!(find("broken", &dirs).unwrap_err(), Error::BadModel { .. }));
    let message = find("C", &dirs).unwrap_err().to_string();
    assert!(message.contains("known: A, broken, B") && message.contains("none"), "{message}");
    let message = find("C", &dirs[2..]).unwrap_err().to_string();
    assert!(message.contains("known: none"), "{message}");
}
