//! The losses as a page that needs nothing but the folder it lies in, and looks for news by itself.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
};

use serde_json::Value;

use super::{config::TrainConfig, log, preview};
use crate::{Error, Result, page::escaped};

/// The page's name in the training's folder.
const FILE_NAME: &str = "loss.html";

/// Seconds after which the page looks for news.
const REFRESH_S: u32 = 60;

/// Points of a line: neighbours are averaged until it has no more.
const MAX_POINTS: usize = 400;

/// Size of the plot, and the room beside and below the axes, pixels.
const SIZE: (f64, f64) = (920.0, 380.0);
const LEFT: f64 = 60.0;
const BELOW: f64 = 34.0;

/// Colours of the identities, again from the start when there are more.
const COLOURS: [&str; 6] = ["#36c", "#c33", "#393", "#939", "#b70", "#088"];

/// A line of the log.
struct Entry {
    step: f64,
    minutes: f64,
    side_px: u64,
    samples_per_s: f64,
    /// Whole loss by identity.
    losses: Vec<(String, f64)>,
}

/// Writes the page from the log beside it, by way of a temporary name.
///
/// # Errors
/// [`Error::Io`] when the log can't be read or the page can't be written.
pub fn write(training: &Path, config: &TrainConfig) -> Result<()> {
    let path = training.join(log::FILE_NAME);
    let file = File::open(&path).map_err(Error::io(&path))?;
    // A line that was cut off by a crash is no reason to show nothing.
    let entries: Vec<Entry> =
        BufReader::new(file).lines().map_while(std::result::Result::ok).filter_map(|l| entry(&l)).collect();
    let (path, temporary) = (training.join(FILE_NAME), training.join(".loss.partial.html"));
    let written = fs::write(&temporary, page(&entries, config));
    written.map_err(Error::io(&temporary))?;
    fs::rename(&temporary, &path).map_err(Error::io(&path))
}

fn entry(line: &str) -> Option<Entry> {
    let value: Value = serde_json::from_str(line).ok()?;
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    let loss = |pair: &Value| {
        let total = pair.get(1)?.get("total")?.as_f64()?;
        Some((pair.get(0)?.as_str()?.to_owned(), total))
    };
    Some(Entry {
        step: number("step")?,
        minutes: number("minutes")?,
        side_px: number("side_px")? as u64,
        samples_per_s: number("samples_per_s")?,
        losses: value.get("losses")?.as_array()?.iter().filter_map(loss).collect(),
    })
}

fn page(entries: &[Entry], config: &TrainConfig) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content={REFRESH_S}>\
         <title>faceswap train</title><style>body{{font:15px/1.45 system-ui,sans-serif;max-width:1000px;\
         margin:2em auto;padding:0 1em;color:#222}}svg{{background:#fafafa;border:1px solid #ddd}}\
         img{{max-width:100%}}pre{{background:#f4f4f4;padding:.6em;overflow:auto}}</style><h1>Training</h1>"
    );
    let Some(last) = entries.last() else {
        page.push_str("<p>Nothing has been told yet.</p></html>\n");
        return page;
    };
    let n_steps: u64 = config.levels.iter().map(|level| level.n_steps).sum();
    let left = (n_steps as f64 - last.step).max(0.0) * minutes_per_step(entries);
    let _ = write!(
        page,
        "<p>Step {:.0} of {n_steps} at {} px, {:.1} faces a second, {} so far, about {} to go at this pace.</p>",
        last.step,
        last.side_px,
        last.samples_per_s,
        clock(last.minutes),
        clock(left),
    );
    page.push_str(&plot(entries));
    let _ = writeln!(
        page,
        "<p>Three rows for each identity: its faces, their reconstruction, their swap to the next.</p>\
         <img src=\"{}\" alt=\"what the network makes of some faces\"><pre>{}</pre></html>",
        preview::FILE_NAME,
        escaped(&config.to_string())
    );
    page
}

/// Over the last tenth of what was told, at least two lines.
fn minutes_per_step(entries: &[Entry]) -> f64 {
    let n = (entries.len() / 10).max(1);
    match (entries.len().checked_sub(n + 1).map(|i| &entries[i]), entries.last()) {
        (Some(a), Some(b)) if b.step > a.step => (b.minutes - a.minutes).max(0.0) / (b.step - a.step),
        (_, Some(b)) if b.step > 0.0 => b.minutes / b.step,
        _ => 0.0,
    }
}

/// The losses over the steps, on a logarithmic scale; upright lines where a level begins.
fn plot(entries: &[Entry]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in entries.iter().flat_map(|entry| &entry.losses) {
        if !names.contains(&&**name) {
            names.push(name);
        }
    }
    let lines: Vec<Vec<(f64, f64)>> = names.iter().map(|name| thinned(&line_of(entries, name))).collect();
    let points = || lines.iter().flatten();
    let (low, high) = points().fold((f64::INFINITY, 0.0_f64), |(l, h), (_, v)| (l.min(*v), h.max(*v)));
    if !(low.is_finite() && high > 0.0) {
        return String::from("<p>No loss is a number yet.</p>");
    }
    let (low, high) = (low.log10() - 0.02, high.log10() + 0.02);
    let last = entries.last().map_or(1.0, |entry| entry.step).max(1.0);
    let x = |step: f64| LEFT + step / last * (SIZE.0 - LEFT - 10.0);
    let y = |log: f64| 10.0 + (high - log) / (high - low) * (SIZE.1 - BELOW - 10.0);
    let mut out = format!("<svg width={} height={} role=img font-size=12>", SIZE.0, SIZE.1);
    for i in 0..=4 {
        let log = low + (high - low) * f64::from(i) / 4.0;
        let _ = write!(
            out,
            "<line x1={LEFT} x2={} y1={1:.1} y2={1:.1} stroke=\"#e4e4e4\"/><text x=8 y={1:.1}>{2:.3}</text>",
            SIZE.0 - 10.0,
            y(log),
            10_f64.powf(log)
        );
    }
    let mut side_px = 0;
    for entry in entries {
        if entry.side_px != side_px {
            side_px = entry.side_px;
            let _ = write!(
                out,
                "<line x1={0:.1} x2={0:.1} y1=10 y2={1} stroke=\"#bbb\"/><text x={0:.1} y={2} fill=\"#666\">{side_px} px</text>",
                x(entry.step),
                SIZE.1 - BELOW,
                SIZE.1 - BELOW + 14.0
            );
        }
    }
    for (i, (name, line)) in names.iter().zip(&lines).enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let _ = write!(out, "<polyline fill=none stroke=\"{colour}\" points=\"");
        for (step, value) in line {
            let _ = write!(out, "{:.1},{:.1} ", x(*step), y(value.log10()));
        }
        let left = SIZE.0 - 140.0;
        let _ =
            write!(out, "\"/><text x={left} y={} fill=\"{colour}\">{}</text>", 26 + 16 * i, escaped(name));
    }
    let _ = write!(
        out,
        "<text x={} y={} text-anchor=end>step {last:.0}</text></svg>",
        SIZE.0 - 10.0,
        SIZE.1 - 6.0
    );
    out
}

fn line_of(entries: &[Entry], name: &str) -> Vec<(f64, f64)> {
    let value = |entry: &Entry| {
        let (_, value) = entry.losses.iter().find(|(of, _)| of == name)?;
        (value.is_finite() && *value > 0.0).then_some((entry.step, *value))
    };
    entries.iter().filter_map(value).collect()
}

/// Means of neighbours, at most [`MAX_POINTS`] of them.
fn thinned(line: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |few: &[(f64, f64)]| {
        let n = few.len() as f64;
        few.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n))
    };
    line.chunks(line.len().div_ceil(MAX_POINTS).max(1)).map(mean).collect()
}

fn clock(minutes: f64) -> String {
    let minutes = minutes.round() as u64;
    if minutes < 60 {
        format!("{minutes} min")
    } else {
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::config::Preset;

    fn line(step: u64, side_px: u64, loss: f64) -> String {
        format!(
            "{{\"step\":{step},\"minutes\":{},\"side_px\":{side_px},\"samples_per_s\":9.5,\"losses\":[[\"A<b\",\
             {{\"total\":{loss}}}],[\"B\",{{\"total\":{}}}]]}}",
            step as f64 / 100.0,
            loss * 2.0
        )
    }

    #[test]
    fn the_page_shows_every_identity_level_and_the_time_left() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = Preset::Light.config().expect("a preset");
        let mut log: Vec<String> =
            (1..=1000).map(|i| line(i * 10, 64 << (i / 600), 4.0 / i as f64)).collect();
        log.push("{\"step\": 12".into());
        fs::write(dir.path().join(log::FILE_NAME), log.join("\n")).expect("written");
        write(dir.path(), &config).expect("written");
        let page = fs::read_to_string(dir.path().join(FILE_NAME)).expect("there");
        for wanted in
            ["64 px</text>", "128 px</text>", "A&lt;b", "Step 10000 of 30000", "1 h 40 min", "3 h 20 min"]
        {
            assert!(page.contains(wanted), "{wanted} is missing in {page}");
        }
        assert_eq!(page.matches("<polyline").count(), 2);
        assert!(page.split("points=\"").nth(1).expect("a line").split(' ').count() < 420);
        assert!(!page.contains("NaN") && !page.contains("http:") && !page.contains("https:"));
    }

    #[test]
    fn an_empty_log_is_a_page_too() {
        let config = Preset::Tiny.config().expect("a preset");
        assert!(page(&[], &config).contains("Nothing has been told"));
    }
}
