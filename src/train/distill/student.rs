//! What the student is: the teacher's comb, narrower or with separable convolutions, and the projections beside it.

use std::fmt;

use burn::{
    module::Module,
    nn::conv::Conv2d,
    tensor::{Tensor, backend::Backend},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    train::{
        model::{Comb, CombConfig, conv, rectifier_gain, rectify},
        quick::convolved,
    },
};

/// ONNX Runtime computes channels in blocks of this many (AVX2; 16 with AVX-512) and fills up what is missing, so
/// anything in between costs as much as the next multiple.
const BLOCK: usize = 8;

/// The same with AVX-512.
const WIDE_BLOCK: usize = 16;

/// The kind of the student's 3x3 convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convolution {
    /// As the teacher's.
    #[default]
    Full,
    /// Depthwise-separable: channel by channel, then pixel by pixel.
    Dws,
    /// Depthwise-separable but for the coarser levels, which say whose face it is and cost little: up to 8 px in the
    /// encoder and 64 px in the decoder they are as the teacher's. The decoder's level of 128 px and those above it that work
    /// on pixels mix their channels before they are doubled, and then convolve each by itself.
    Mixed,
}

/// Up to which sides [`Convolution::Mixed`] leaves the convolutions of encoder and decoder whole, pixels.
const MIXED_WHOLE_PX: [usize; 2] = [8, 64];

/// From which side on its decoder mixes channels before a doubling, pixels.
const MIXED_FIRST_PX: usize = 128;

/// What is put between the student's activations and the teacher's, and thrown away in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Projection {
    /// A 3x3 convolution.
    #[default]
    #[serde(rename = "3x3")]
    Three,
    /// A 1x1 convolution.
    #[serde(rename = "1x1")]
    One,
    /// A 1x1 convolution and a leaky rectifier.
    #[serde(rename = "1x1-lrelu")]
    OneRectified,
    /// A 1x1 convolution and a sine.
    #[serde(rename = "1x1-sine")]
    OneSine,
}

impl Projection {
    const ALL: [Self; 4] = [Self::Three, Self::One, Self::OneRectified, Self::OneSine];

    /// The projection called `name`.
    ///
    /// # Errors
    /// [`Error::BadSetting`] with the known names.
    pub fn by_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|projection| projection.to_string() == name);
        found.ok_or_else(|| Error::setting("--projection", name, "must be 3x3, 1x1, 1x1-lrelu or 1x1-sine"))
    }

    fn kernel(self) -> usize {
        if self == Self::Three { 3 } else { 1 }
    }

    /// A student's activation as `conv` and this make it: `[batch, student, h, w]` to `[batch, teacher, h, w]`.
    pub fn project<B: Backend>(self, conv: &Conv2d<B>, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let h = convolved(conv, x);
        match self {
            Self::Three | Self::One => h,
            Self::OneRectified => rectify(h),
            Self::OneSine => h.sin(),
        }
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Three => "3x3",
            Self::One => "1x1",
            Self::OneRectified => "1x1-lrelu",
            Self::OneSine => "1x1-sine",
        })
    }
}

/// What makes the student smaller, and how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StudentConfig {
    /// Its channels as a share of the teacher's, rounded up to whole blocks of eight; 0 < width <= 1.
    pub width: f64,
    /// The encoder's channels as a share of that: a specialist reads faces for one identity alone, and needs less of an
    /// encoder than the teacher's, which reads for many.
    #[serde(default = "one")]
    pub encoder_width: f64,
    /// Its convolutions.
    pub convolution: Convolution,
    /// Whether its finest level works on patches of 2x2 pixels.
    #[serde(default)]
    pub patches: bool,
    /// What its activations are compared through.
    pub projection: Projection,
    /// Whether it begins with what fits of the teacher's weights instead of chance.
    pub from_teacher: bool,
}

fn one() -> f64 {
    1.0
}

impl Default for StudentConfig {
    fn default() -> Self {
        Self {
            width: 1.0,
            encoder_width: 1.0,
            convolution: Convolution::Mixed,
            patches: true,
            projection: Projection::default(),
            from_teacher: true,
        }
    }
}

impl fmt::Display for StudentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x channels", self.width)?;
        if self.encoder_width < 1.0 {
            write!(f, ", {}x in the encoder", self.width * self.encoder_width)?;
        }
        f.write_str(match self.convolution {
            Convolution::Full => "",
            Convolution::Dws => ", depthwise-separable",
            Convolution::Mixed => ", depthwise-separable but for the coarser levels",
        })?;
        if self.patches {
            f.write_str(", finest level on patches")?;
        }
        write!(f, ", {} projection", self.projection)?;
        if self.from_teacher { f.write_str(", begun with the teacher's weights") } else { Ok(()) }
    }
}

impl StudentConfig {
    /// The student of a teacher of that size. The code between encoder and decoder keeps its length, so that each part
    /// can be taught by itself.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a width outside 0..=1, and for a student that would be its teacher.
    pub fn comb(&self, teacher: &CombConfig) -> Result<CombConfig> {
        if !(self.width > 0.0 && self.width <= 1.0) {
            return Err(Error::setting("--student-width", self.width, "must be above 0, and 1 at most"));
        }
        let narrow = |widths: &[usize], share: f64| {
            let of = |n: &usize| ((*n as f64 * share).ceil() as usize).next_multiple_of(BLOCK).min(*n);
            widths.iter().map(of).collect()
        };
        // A patch has four times a pixel's channels to hold; half of them do.
        let folded = |widths: &[usize]| -> Vec<usize> {
            let mut widths = widths.to_vec();
            if let (true, Some(finest)) = (self.patches, widths.last_mut()) {
                *finest = (*finest * 2).next_multiple_of(WIDE_BLOCK).min(*finest * 4);
            }
            widths
        };
        let is_mixed = self.convolution == Convolution::Mixed;
        let comb = CombConfig {
            latent: teacher.latent,
            encoder: narrow(&folded(&teacher.encoder), self.width * self.encoder_width),
            decoder: narrow(&folded(&teacher.decoder), self.width),
            separable: self.convolution != Convolution::Full,
            whole_px: if is_mixed { MIXED_WHOLE_PX } else { [0; 2] },
            mixed_first_px: is_mixed.then_some(MIXED_FIRST_PX),
            patches: self.patches,
            coarse: teacher.coarse,
        };
        if comb == *teacher {
            let reason = "makes a student as large as its teacher; take fewer channels, --student-conv mixed or \
                          --student-finest patches";
            return Err(Error::setting("--student-width", self.width, reason));
        }
        Ok(comb)
    }
}

/// The student while it learns.
#[derive(Module, Debug)]
pub struct Student<B: Backend> {
    /// What will be exported: one decoder.
    pub comb: Comb<B>,
    /// From the student's activations to the teacher's, level by level from the finest on.
    pub encoder_projections: Vec<Conv2d<B>>,
    /// The same, from 4 px on.
    pub decoder_projections: Vec<Conv2d<B>>,
}

impl<B: Backend> Student<B> {
    /// A student with He's initial weights for a teacher of that size.
    pub fn new(
        student: &CombConfig,
        teacher: &CombConfig,
        projection: Projection,
        device: &B::Device,
    ) -> Self {
        let kernel = projection.kernel();
        let project = |(from, to): (&usize, &usize)| -> Conv2d<B> {
            conv(*from, *to, kernel, kernel / 2, rectifier_gain(), device)
        };
        let below = student.n_levels() - 1;
        let mut wanted = teacher.decoder.clone();
        if student.patches {
            wanted[below] *= 4;
        }
        let encoder = student.encoder[..below].iter().zip(&teacher.encoder).rev().map(project);
        Self {
            comb: Comb::new(student, 1, device),
            encoder_projections: encoder.collect(),
            decoder_projections: student.decoder.iter().zip(&wanted).map(project).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teacher() -> CombConfig {
        CombConfig {
            latent: 256,
            encoder: vec![128, 64, 32, 16, 8],
            decoder: vec![160, 96, 48, 24, 12],
            ..CombConfig::default()
        }
    }

    #[test]
    fn widths_come_in_whole_blocks_and_never_above_the_teachers() {
        let pixels = StudentConfig { patches: false, ..StudentConfig::default() };
        let half = StudentConfig { width: 0.5, convolution: Convolution::Full, ..pixels };
        let comb = half.comb(&teacher()).expect("smaller");
        assert_eq!(comb.encoder, [64, 32, 16, 8, 8]);
        assert_eq!(comb.decoder, [80, 48, 24, 16, 8]);
        assert_eq!((comb.latent, comb.separable), (256, false));
        let dws = StudentConfig { convolution: Convolution::Dws, ..pixels };
        let dws = dws.comb(&teacher()).expect("smaller");
        assert_eq!((&dws.encoder, &dws.decoder), (&teacher().encoder, &teacher().decoder));
        assert!(dws.separable);
        let specialist = StudentConfig { encoder_width: 0.5, ..pixels };
        let comb = specialist.comb(&teacher()).expect("smaller");
        assert_eq!((&comb.encoder[..], &comb.decoder), (&[64, 32, 16, 8, 8][..], &teacher().decoder));
        assert_eq!((comb.separable, comb.whole_px, comb.mixed_first_px), (true, [8, 64], Some(128)));
        let patches = StudentConfig::default().comb(&teacher()).expect("smaller");
        assert_eq!((patches.encoder[4], patches.decoder[4]), (16, 32));
        assert_eq!(
            (&patches.encoder[..4], &patches.decoder[..4]),
            (&teacher().encoder[..4], &teacher().decoder[..4])
        );
    }

    #[test]
    fn what_is_no_student_is_said() {
        for width in [0.0, -1.0, 1.01, f64::NAN, 1.0] {
            let config = StudentConfig {
                width,
                convolution: Convolution::Full,
                patches: false,
                ..StudentConfig::default()
            };
            let refusal = config.comb(&teacher()).expect_err("no student").to_string();
            assert!(refusal.starts_with("--student-width"), "{refusal}");
        }
        for projection in Projection::ALL {
            assert_eq!(Projection::by_name(&projection.to_string()).expect("known"), projection);
        }
        assert!(Projection::by_name("5x5").is_err());
    }
}
