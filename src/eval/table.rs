//! The report in words.

use std::fmt;

use super::{EvalReport, Scores};

/// A column: its heading, the score, its width and digits.
type Column = (&'static str, fn(&Scores) -> Option<f64>, usize, usize);

pub(super) const COLUMNS: [Column; 16] = [
    ("PSNR dB", |s| s.psnr_face_db, 7, 2),
    ("SSIM", |s| s.ssim_face, 6, 3),
    ("MS-SSIM", |s| s.ms_ssim_face, 7, 3),
    ("id wanted", |s| s.identity_distance, 9, 3),
    ("id target", |s| s.identity_distance_to_target, 9, 3),
    ("mesh %", |s| s.pose_nme.map(|v| 100.0 * v), 6, 2),
    ("expr", |s| s.expression_l1, 6, 4),
    ("eyes", |s| s.eyes_following, 5, 2),
    ("gaze", |s| s.gaze_following, 5, 2),
    ("jitter %", |s| s.jitter_out.map(|v| 100.0 * v), 8, 2),
    ("tOF px", |s| s.flicker_tof, 6, 3),
    ("warp", |s| s.warp_error_ratio, 5, 2),
    ("S1", |s| s.seam_s1, 5, 2),
    ("S2", |s| s.seam_s2, 5, 2),
    ("S3", |s| s.seam_s3, 5, 2),
    ("S4", |s| s.seam_s4, 5, 2),
];

impl fmt::Display for EvalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} frames scored", self.n_scored, self.n_frames)?;
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        write!(f, "{:width$}", "")?;
        for (heading, _, wide, _) in COLUMNS {
            write!(f, " {heading:>wide$}")?;
        }
        writeln!(f)?;
        for (name, scores) in rows {
            write!(f, "{name:<width$}")?;
            for (_, score, wide, digits) in COLUMNS {
                match score(scores) {
                    Some(value) => write!(f, " {value:wide$.digits$}")?,
                    None => write!(f, " {:>wide$}", "-")?,
                }
            }
            writeln!(f)?;
        }
        write!(
            f,
            "id: distance of face embeddings, one person is below 0.52; mesh, jitter: of the distance between the eyes; \
             eyes, gaze, warp, S1: 1 is good; S2, S3, S4: 0 is good"
        )
    }
}
