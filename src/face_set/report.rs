//! What there is to learn from in some face sets, and what is missing: told before any hour is spent on a training.

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
};

use image::{ImageFormat, RgbImage, imageops};

use super::{
    FaceSet,
    quality::{Quality, blurred, copies},
    sort::Order,
};
use crate::{
    Result,
    face::Look,
    frame::FramePx,
    measure::identity::{Embedder, Embedding, mean},
    page::{data_url, escaped},
    video,
};

/// Fewer faces than this make no good likeness.
const FEW: usize = 200;

/// Most faces of a set that are compared as to whose they are.
const N_EMBEDDED: usize = 24;

/// Distance of the middles of two halves of a set from which on they are two people's: halves of one person's faces lie 0.25
/// to 0.38 apart, two people's 0.37 to 0.63 (seven rendered people).
const TWO_PEOPLE: f64 = 0.4;

/// Distance of the middles of two sets up to which they are one person's: two halves of one person's footage lie 0.18 to
/// 0.29 apart, two people 0.37 to 0.63.
const ONE_PERSON: f64 = 0.33;

/// Degrees to which a head should turn to each side, and up and down.
const YAW_DEG: f64 = 20.0;
const PITCH_DEG: f64 = 10.0;

/// From here on a mouth is open, up to here eyes are closed, and from here on they look to a side; see [`Look`].
const OPEN_MOUTH: f64 = 0.12;
const CLOSED_EYES: f64 = 0.15;
const GLANCE: f64 = 0.12;

/// Pictures that are shown of a set, and their side on the page, pixels.
const N_SHOWN: usize = 16;
const SHOWN_PX: u32 = 64;

/// All faces of one person.
#[derive(Debug)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Faces that are used.
    pub n_faces: usize,
    /// Faces that are left out.
    pub n_left_out: usize,
    /// Side of the pictures, pixels, set by set.
    pub sides_px: Vec<usize>,
    looks: Vec<Look>,
    /// Share of the faces that were looked at which are blurred, and which are all but the same as one before them.
    blurred: f64,
    copies: f64,
    embeddings: Vec<Embedding>,
    shown: Vec<RgbImage>,
}

/// What there is to learn from.
#[derive(Debug)]
pub struct DataReport {
    /// The people in the order in which they were named first.
    pub people: Vec<Person>,
    /// What is wrong or missing, the worst first, each with a way out.
    pub warnings: Vec<String>,
}

/// Looks at face sets with the names of their people; sets of one name are one person's. Pictures of at most
/// `n_looked_at` faces of each set are opened. Without `embedder` nobody looks whose faces they are.
///
/// # Errors
/// [`crate::Error::BadInput`] for a set or a picture that can't be read, [`crate::Error::Device`] when the network
/// fails.
pub fn report(
    sets: &[(String, PathBuf)],
    n_looked_at: usize,
    mut embedder: Option<&mut Embedder>,
) -> Result<DataReport> {
    let mut people: Vec<Person> = Vec::new();
    for (name, dir) in sets {
        let set = FaceSet::open(dir)?;
        let at = people.iter().position(|person| person.name == *name).unwrap_or_else(|| {
            people.push(Person::new(name));
            people.len() - 1
        });
        people[at].add(&set, n_looked_at, embedder.as_deref_mut())?;
    }
    let warnings = warnings(&people);
    Ok(DataReport { people, warnings })
}

/// At most `most` of `n` places, spread evenly.
fn spread(n: usize, most: usize) -> impl Iterator<Item = usize> {
    let taken = n.min(most);
    (0..taken).map(move |i| i * n / taken)
}

impl Person {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            n_faces: 0,
            n_left_out: 0,
            sides_px: Vec::new(),
            looks: Vec::new(),
            blurred: 0.0,
            copies: 0.0,
            embeddings: Vec::new(),
            shown: Vec::new(),
        }
    }

    fn add(&mut self, set: &FaceSet, n_looked_at: usize, embedder: Option<&mut Embedder>) -> Result<()> {
        let n = set.entries.len();
        let looked_at: Vec<Quality> =
            spread(n, n_looked_at).map(|i| Quality::of(set, &set.entries[i])).collect::<Result<_>>()?;
        let share = |hits: usize| hits as f64 / looked_at.len().max(1) as f64;
        let n_blurred = blurred(&looked_at, Order::Blur.usual_limit()).into_iter().filter(|is| *is).count();
        let n_copies = copies(&looked_at, Order::Similarity.usual_limit()).iter().flatten().count();
        // Sets are weighed by their faces.
        let weight = n as f64 / (self.n_faces + n).max(1) as f64;
        self.blurred += (share(n_blurred) - self.blurred) * weight;
        self.copies += (share(n_copies) - self.copies) * weight;
        self.n_faces += n;
        self.n_left_out += set.excluded.len();
        self.sides_px.push(set.header.side_px);
        self.looks.extend(set.entries.iter().filter_map(|entry| Look::of_crop(&entry.points)));
        for i in spread(n, N_SHOWN) {
            let picture = set.rgb(&set.entries[i].image)?;
            self.shown.push(imageops::resize(&picture, SHOWN_PX, SHOWN_PX, imageops::FilterType::Triangle));
        }
        let Some(embedder) = embedder else { return Ok(()) };
        for i in spread(n, N_EMBEDDED) {
            let entry = &set.entries[i];
            let points: Vec<FramePx> =
                entry.points.iter().map(|[x, y]| FramePx { x: (*x).into(), y: (*y).into() }).collect();
            let frame = video::read_picture(&set.dir.join(&entry.image))?;
            self.embeddings.extend(embedder.embed(&frame.picture, &points)?);
        }
        Ok(())
    }

    /// Share of the faces for which `holds`.
    fn share(&self, holds: impl Fn(&Look) -> bool) -> f64 {
        self.looks.iter().filter(|look| holds(look)).count() as f64 / self.looks.len().max(1) as f64
    }

    fn warnings(&self) -> Vec<String> {
        let Self { name, n_faces, .. } = self;
        let mut out = Vec::new();
        if *n_faces < FEW {
            out.push(format!(
                "{name}: only {n_faces} face{}; a good likeness needs some hundreds, with many poses and expressions: extract more footage",
                if *n_faces == 1 { "" } else { "s" }
            ));
        }
        if self.looks.is_empty() {
            return out;
        }
        let range = |value: fn(&Look) -> f64| {
            let values = self.looks.iter().map(value);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let (yaw, pitch) = (range(|look| look.yaw_deg), range(|look| look.pitch_deg));
        for (degrees, most, least, way) in [
            (-yaw.0, -yaw.0, YAW_DEG, "turned to the left of the picture"),
            (yaw.1, yaw.1, YAW_DEG, "turned to the right of the picture"),
            (-pitch.0, -pitch.0, PITCH_DEG, "looking up"),
            (pitch.1, pitch.1, PITCH_DEG, "looking down"),
        ] {
            if degrees < least {
                out.push(format!(
                    "{name}: no frame with more than {least:.0} degrees {way} (at most {:.0}); such a pose can't be swapped well",
                    most.max(0.0) + 0.0 // No -0.
                ));
            }
        }
        if self.share(|look| look.mouth > OPEN_MOUTH) < 0.01 {
            out.push(format!("{name}: hardly a frame with an open mouth; add some of {name} talking"));
        }
        if self.share(|look| look.eyes < CLOSED_EYES) < 0.003 {
            out.push(format!("{name}: hardly a frame with closed eyes; blinks may fail"));
        }
        for (way, sign) in [("left", -1.0), ("right", 1.0)] {
            if self.share(|look| sign * look.gaze > GLANCE) < 0.01 {
                out.push(format!(
                    "{name}: hardly a frame with eyes that look to the {way} of the picture; new eyes may look ahead there"
                ));
            }
        }
        if self.blurred > 0.1 {
            let percent = self.blurred * 100.0;
            out.push(format!(
                "{name}: {percent:.0} % of the faces are much softer than the others; `faceswap faces sort DIR --by blur` leaves them out"
            ));
        }
        if self.copies > 0.3 {
            let percent = self.copies * 100.0;
            out.push(format!(
                "{name}: {percent:.0} % of the faces are all but the same as another; `faceswap faces sort DIR --by similarity` leaves them out, `extract --every N` cuts fewer"
            ));
        }
        if let Some((distance, share)) = halves(&self.embeddings)
            && distance > TWO_PEOPLE
        {
            let percent = share * 100.0;
            out.push(format!(
                "{name}: these may be two people, {percent:.0} % of the faces being unlike the others (distance {distance:.2}); look through the pictures"
            ));
        }
        out
    }
}

fn warnings(people: &[Person]) -> Vec<String> {
    let mut out = Vec::new();
    if let [one] = people {
        out.push(format!(
            "only {} is given; what a swap carries over is learnt from two people and more",
            one.name
        ));
    }
    for (i, a) in people.iter().enumerate() {
        for b in &people[i + 1..] {
            if let (Some(one), Some(other)) = (mean(&a.embeddings), mean(&b.embeddings)) {
                let distance = one.distance(&other);
                if distance < ONE_PERSON {
                    out.push(format!(
                        "{} and {} may be one person under two names (distance {distance:.2}); give both sets one name",
                        a.name, b.name
                    ));
                }
            }
        }
    }
    let (most, least) = (people.iter().map(|p| p.n_faces).max(), people.iter().map(|p| p.n_faces).min());
    if let (Some(most), Some(least)) = (most, least)
        && most > 10 * least.max(1)
    {
        out.push(format!(
            "{most} faces of one person and {least} of another; the few will be learnt by heart"
        ));
    }
    out.extend(people.iter().flat_map(Person::warnings));
    out
}

/// How far apart the middles of the two most unlike groups of some faces are, and the share of the smaller (two-means from
/// the farthest pair); `None` where a group would be a stray face or two.
fn halves(faces: &[Embedding]) -> Option<(f64, f64)> {
    const N_ROUNDS: usize = 8;
    let pairs = faces.iter().enumerate().flat_map(|(i, a)| faces[i + 1..].iter().map(move |b| (a, b)));
    let (a, b) = pairs.max_by(|x, y| x.0.distance(x.1).total_cmp(&y.0.distance(y.1)))?;
    let mut middles = [a.clone(), b.clone()];
    let mut groups = [Vec::new(), Vec::new()];
    for _ in 0..N_ROUNDS {
        let (one, other): (Vec<_>, Vec<_>) =
            faces.iter().cloned().partition(|face| face.distance(&middles[0]) <= face.distance(&middles[1]));
        middles = [mean(&one)?, mean(&other)?];
        groups = [one, other];
    }
    let share = groups[0].len().min(groups[1].len()) as f64 / faces.len() as f64;
    (share >= 0.1).then(|| (middles[0].distance(&middles[1]), share))
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for person in &self.people {
            write!(f, "{}: {} faces", person.name, person.n_faces)?;
            if person.n_left_out > 0 {
                write!(f, ", {} more left out", person.n_left_out)?;
            }
            let sides: Vec<String> = person.sides_px.iter().map(ToString::to_string).collect();
            writeln!(f, ", {} px", sides.join(", "))?;
        }
        let warnings: Vec<String> = self.warnings.iter().map(|text| format!("warning: {text}")).collect();
        f.write_str(&warnings.join("\n"))
    }
}

impl DataReport {
    /// The report as one page that needs nothing but itself.
    pub fn page(&self) -> String {
        let mut page = String::from(
            "<!doctype html><html lang=en><meta charset=utf-8><title>faceswap faces</title><style>\
             body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}\
             li{margin:.3em 0}li.bad{color:#a20}svg{background:#fafafa;border:1px solid #ddd;margin:.3em}\
             </style><h1>What there is to learn from</h1><ul>",
        );
        for text in &self.warnings {
            let _ = write!(page, "<li class=bad>{}</li>", escaped(text));
        }
        page.push_str(if self.warnings.is_empty() { "<li>Nothing is missing.</li></ul>" } else { "</ul>" });
        for person in &self.people {
            let _ = write!(
                page,
                "<h2>{}</h2><p>{} faces, {} left out; {:.0} % blurred, {:.0} % all but the same as another</p><p>",
                escaped(&person.name),
                person.n_faces,
                person.n_left_out,
                person.blurred * 100.0,
                person.copies * 100.0
            );
            for picture in &person.shown {
                let _ = write!(page, "<img src=\"{}\" alt=\"\">", data_url(picture, ImageFormat::Jpeg));
            }
            page.push_str("</p>");
            let values = |value: fn(&Look) -> f64| person.looks.iter().map(value).collect::<Vec<_>>();
            page.push_str(&histogram(
                "turned left and right, degrees",
                &values(|l| l.yaw_deg),
                (-60.0, 60.0),
            ));
            page.push_str(&histogram(
                "looking up and down, degrees",
                &values(|l| l.pitch_deg),
                (-40.0, 40.0),
            ));
            page.push_str(&histogram("mouth open, eye distances", &values(|l| l.mouth), (0.0, 0.6)));
            page.push_str(&histogram("eyes open, eye widths", &values(|l| l.eyes), (0.0, 0.6)));
        }
        page.push_str("</html>\n");
        page
    }
}

/// A histogram of values; what lies outside of `range` is counted at its ends.
fn histogram(title: &str, values: &[f64], range: (f64, f64)) -> String {
    const N_BINS: usize = 24;
    const BIN_PX: usize = 10;
    const HEIGHT_PX: f64 = 80.0;
    let mut counts = [0_usize; N_BINS];
    for value in values {
        let place = (value - range.0) / (range.1 - range.0) * N_BINS as f64;
        counts[(place.max(0.0) as usize).min(N_BINS - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let (w, base) = (N_BINS * BIN_PX, 22.0 + HEIGHT_PX);
    let mut out = format!(
        "<svg width={} height={} role=img font-size=12><text x=4 y=14>{title}</text>",
        w + 8,
        base + 16.0
    );
    for (i, n) in counts.iter().enumerate() {
        let h = *n as f64 / most * HEIGHT_PX;
        let _ = write!(
            out,
            "<rect x={} y={:.1} width={} height={h:.1} fill=\"#58a\"><title>{n}</title></rect>",
            4 + i * BIN_PX,
            base - h,
            BIN_PX - 1
        );
    }
    let _ = write!(
        out,
        "<text x=4 y={0}>{1}</text><text x={2} y={0} text-anchor=end>{3}</text></svg>",
        base + 13.0,
        range.0,
        w + 4,
        range.1
    );
    out
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
