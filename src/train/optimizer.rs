//! The optimizer that all trainings have in common.

use burn::{grad_clipping::GradientClippingConfig, optim::AdamConfig};

/// Most a gradient may be, as the norm of one parameter's.
const MAX_GRADIENT: f32 = 1.0;

/// Adam with betas of .9 and .999, and an epsilon of 1e-8 where the framework has 1e-5; gradients are clipped.
pub fn adam() -> AdamConfig {
    AdamConfig::new().with_epsilon(1e-8).with_grad_clipping(Some(GradientClippingConfig::Norm(MAX_GRADIENT)))
}
