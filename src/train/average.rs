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
    let mut collected = Collected(HashMap::new());
    weights.visit(&mut collected);
    let keep = DECAY.min((1.0 + step as f64) / (10.0 + step as f64));
    average.map(&mut Towards { weights: collected.0, keep })
}

/// Flat copies of parameters by their identity.
struct Collected<B: Backend>(HashMap<ParamId, Tensor<B, 1>>);

impl<B: Backend> ModuleVisitor<B> for Collected<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.insert(param.id, param.val().flatten(0, D - 1));
    }
}

struct Towards<B: Backend> {
    weights: HashMap<ParamId, Tensor<B, 1>>,
    keep: f64,
}

impl<B: Backend> ModuleMapper<B> for Towards<B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, old, mapper) = param.consume();
        let new = match self.weights.remove(&id) {
            Some(weight) => old.clone() * self.keep + weight.reshape(old.dims()) * (1.0 - self.keep),
            None => old,
        };
        Param::from_mapped_value(id, new, mapper)
    }
}
