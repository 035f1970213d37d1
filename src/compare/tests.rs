use std::{
    collections::HashSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use super::{
    http,
    trials::{Choice, Trials, Verdict},
    *,
};

fn desk(dir: &Path, blind: bool, n_trials: usize) -> CompareSettings {
    let videos = ["a.mp4", "b.mp4"].map(|name| {
        fs::write(dir.join(name), name).expect("written");
        dir.join(name)
    });
    CompareSettings {
        videos,
        blind,
        question: "Which?".into(),
        n_trials,
        seconds: 1.0,
        output: dir.join("answers.json"),
        port: 0,
        seed: Some(3),
    }
}

fn media(settings: &CompareSettings) -> [Media; 2] {
    settings.videos.clone().map(|path| Media { path, kind: "video/mp4", length_s: 5.0 })
}

/// Asks the desk as a browser would, over a real connection.
fn ask(desk: &mut Desk<'_>, request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut browser = TcpStream::connect(listener.local_addr().expect("bound")).expect("listening");
    write!(browser, "{request} HTTP/1.1\r\nHost: here\r\n\r\n").expect("sent");
    let mut n_asked = 0;
    http::serve(
        &listener,
        &mut |request| {
            n_asked += 1;
            (desk.answer(request).0, true)
        },
        &mut |answered| answered,
    )
    .expect("serves");
    let mut answer = String::new();
    browser.read_to_string(&mut answer).expect("answered");
    assert_eq!(n_asked, 1);
    answer
}

#[test]
fn each_side_has_each_video_equally_often_and_moments_differ() {
    let trials = Trials::new(20, 10.0, 2.0, 7);
    let all: Vec<_> = (0..20).filter_map(|nth| trials.nth(nth)).collect();
    assert_eq!(all.iter().filter(|trial| trial.first_is_left).count(), 10);
    let starts: HashSet<_> = all.iter().map(|trial| (trial.start_s * 1e6) as u64).collect();
    assert_eq!(starts.len(), 20);
    assert!(all.iter().all(|trial| (0.0..=8.0 + 1e-9).contains(&trial.start_s)));
    let places = |seed| {
        (0..20)
            .map(|nth| Trials::new(20, 10.0, 2.0, seed).nth(nth).map(|t| t.first_is_left))
            .collect::<Vec<_>>()
    };
    assert!(places(7) == places(7) && places(7) != places(8));
}

#[test]
fn the_verdict_has_the_published_numbers() {
    // Wilson's interval and the binomial test for 15 of 20, as R's binom.confint and binom.test give them.
    let verdict = Verdict::of(15, 20);
    assert!((verdict.interval_95[0] - 0.5313).abs() < 1e-4 && (verdict.interval_95[1] - 0.8881).abs() < 1e-4);
    assert!((verdict.p_value - 0.041_389).abs() < 1e-5, "{}", verdict.p_value);
    assert_eq!(Verdict::of(10, 20).p_value, 1.0);
    assert_eq!(Verdict::of(0, 0).interval_95, [0.0, 1.0]);
    assert!(Verdict::of(2900, 3000).p_value < 1e-100, "a small number, not one that is none");
}

#[test]
fn answers_count_for_the_video_that_stood_there() {
    let mut trials = Trials::new(8, 10.0, 1.0, 1);
    for nth in 0..8 {
        let first_is_left = trials.nth(nth).expect("planned").first_is_left;
        assert!(trials.answer(nth, if first_is_left { Choice::Left } else { Choice::Right }, false));
        assert!(!trials.answer(nth, Choice::Left, false), "no trial is answered twice");
    }
    assert!(trials.is_done() && trials.verdict().n_first == 8);
}

#[test]
fn a_page_gets_clips_without_names_and_its_answers_are_kept() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let settings = desk(dir.path(), true, 2);
    let mut desk = Desk {
        settings: &settings,
        media: media(&settings),
        trials: Trials::new(2, 5.0, 1.0, 3),
        failed: None,
    };
    assert!(ask(&mut desk, "GET /").contains("<!doctype html>"));
    let trial = ask(&mut desk, "GET /trial");
    assert!(trial.contains("\"nth\":0") && !trial.contains("mp4"), "{trial}");
    let left = desk.trials.nth(0).map(|trial| if trial.first_is_left { "a.mp4" } else { "b.mp4" });
    assert!(ask(&mut desk, "GET /clip/0/left").ends_with(left.expect("planned")));
    assert!(ask(&mut desk, "POST /choice/0/left").contains("\"nth\":1"));
    assert!(ask(&mut desk, "POST /choice/0/left").starts_with("HTTP/1.1 409"));
    let kept = fs::read_to_string(&settings.output).expect("written after each answer");
    assert!(kept.contains("\"choice\": \"left\""), "{kept}");
    assert!(ask(&mut desk, "POST /choice/1/right").contains("\"done\":true"));
    for bad in ["GET /../../etc/passwd", "GET /clip/9/left", "GET /clip/0/up", "POST /choice/x/left", "PUT /"]
    {
        assert!(ask(&mut desk, bad).starts_with("HTTP/1.1 4"), "{bad}");
    }
}

#[test]
fn clips_of_other_length_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut media = media(&desk(dir.path(), false, 1));
    media[1].length_s = 7.0;
    let told = same_length(&media).expect_err("5 s and 7 s").to_string();
    assert!(told.contains("b.mp4") && told.contains("7.00 s"), "{told}");
}
