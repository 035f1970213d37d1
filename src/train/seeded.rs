//! Networks whose first weights follow from a seed.

use std::sync::{Mutex, PoisonError};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Tensor, backend::Backend},
};

/// What `make` gives, with its weights drawn from `seed`.
///
/// The framework draws from one source for the whole process, and not before a weight is first looked at. So all weights
/// are looked at here, and nobody else draws first weights meanwhile.
pub fn seeded<B: Backend, M: Module<B>>(device: &B::Device, seed: u64, make: impl FnOnce() -> M) -> M {
    static SOURCE: Mutex<()> = Mutex::new(());
    let _alone = SOURCE.lock().unwrap_or_else(PoisonError::into_inner);
    B::seed(device, seed);
    let module = make();
    module.visit(&mut Drawn);
    module
}

struct Drawn;

impl<B: Backend> ModuleVisitor<B> for Drawn {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let _ = param.val();
    }
}
