//! The moving average of the weights: calmer than the weights themselves, and what is exported.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Tensor, backend::Backend},
};

/// Share of the old average that a step keeps.
const DECAY: f64 = 0.999;

/// Moves `average` towards `weights`, which have the same parameters. In the first steps the average follows faster,
/// so that it forgets the random start.
pub fn follow<B: Backend, M: Module<B>>(average: M, weights: &M, step: u64) -> M {
    let keep = DECAY.min((1.0 + step as f64) / (10.0 + step as f64));
    towards(average, weights, |_| 1.0 - keep)
}

/// Moves the parameters of `from` a share of the way to those of `to`, which may be more than all of it.
pub fn towards<B: Backend, M: Module<B>>(from: M, to: &M, share: impl Fn(ParamId) -> f64) -> M {
    let mut collected = Collected(HashMap::new());
    to.visit(&mut collected);
    from.map(&mut Towards { weights: collected.0, share })
}

/// Flat copies of parameters by their identity.
struct Collected<B: Backend>(HashMap<ParamId, Tensor<B, 1>>);

impl<B: Backend> ModuleVisitor<B> for Collected<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.insert(param.id, param.val().flatten(0, D - 1));
    }
}

struct Towards<B: Backend, F> {
    weights: HashMap<ParamId, Tensor<B, 1>>,
    share: F,
}

impl<B: Backend, F: Fn(ParamId) -> f64> ModuleMapper<B> for Towards<B, F> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, old, mapper) = param.consume();
        let new = match self.weights.remove(&id) {
            Some(weight) => {
                // In this form what is equal stays what it is, to the bit.
                let way = weight.reshape(old.dims()) - old.clone();
                old + way * (self.share)(id)
            }
            None => old,
        };
        Param::from_mapped_value(id, new, mapper)
    }
}
