#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use ndarray::{Array1, Array4, arr1};

use super::*;

/// The library, or `None` with a word where it is not installed.
fn runtime() -> Option<Runtime> {
    match Runtime::load(&RuntimeSettings { threads: 1, ..Default::default() }) {
        Ok(runtime) => Some(runtime),
        Err(e) => {
            eprintln!("skipped: {e}");
            None
        }
    }
}

#[test]
fn runs_a_network() {
    let Some(runtime) = runtime() else { return };
    let mut network = runtime.network("one node", ONE_NODE).unwrap();
    assert_eq!(network.inputs(), [TensorInfo { name: "x".into(), shape: vec![Some(1)] }]);
    for (x, y) in [(-2.0, 0.0), (3.0, 3.0)] {
        assert_eq!(network.run(&[("x", arr1(&[x]).view().into_dyn())]).unwrap(), [arr1(&[y]).into_dyn()]);
    }
    assert!(runtime.available().contains(&"CPUExecutionProvider".into()));
    assert!(runtime.version().starts_with("1."), "{}", runtime.version());
}

#[test]
fn wrong_names_and_shapes_are_errors() {
    let Some(runtime) = runtime() else { return };
    let mut network = runtime.network("one node", ONE_NODE).unwrap();
    let one = arr1(&[1.0]);
    for inputs in [
        vec![],
        vec![("z", one.view().into_dyn())],
        vec![("x", Array1::zeros(2).view().into_dyn().to_owned().view())],
        vec![("x", Array1::zeros(0).view().into_dyn().to_owned().view())],
        vec![("x", Array4::zeros([1, 1, 1, 1]).view().into_dyn().to_owned().view())],
        vec![("x", one.view().into_dyn()), ("x", one.view().into_dyn())],
    ] {
        let error = network.run(&inputs).unwrap_err();
        assert!(matches!(error, Error::BadModel { .. }), "{error:?}");
        assert!(error.to_string().contains("x [1]"), "{error}");
    }
}

#[test]
fn bytes_that_are_no_network_are_an_error() {
    let Some(runtime) = runtime() else { return };
    for bytes in [&b""[..], b"no network", &ONE_NODE[..40]] {
        let error = runtime.network("broken.onnx", bytes).unwrap_err();
        assert!(matches!(error, Error::BadModel { .. }), "{error:?}");
    }
}

#[test]
fn a_provider_that_is_missing_is_named() {
    let Some(runtime) = runtime() else { return };
    if !runtime.available().contains(&"CUDAExecutionProvider".into()) {
        let error = Runtime::load(&RuntimeSettings { providers: vec![Provider::Cuda], ..Default::default() });
        let Err(Error::Device(message)) = error else { panic!("{error:?}") };
        assert!(message.starts_with("cuda was asked for"), "{message}");
    }
}

#[test]
fn another_library_can_not_follow() {
    if runtime().is_none() {
        return;
    }
    let dylib = Some("/nowhere/libonnxruntime.so".into());
    let error = Runtime::load(&RuntimeSettings { dylib, ..Default::default() });
    let Err(Error::Device(message)) = error else { panic!("{error:?}") };
    assert!(message.contains("only once"), "{message}");
}

#[test]
fn providers_have_one_name_each() {
    for provider in [Provider::Cpu, Provider::Cuda, Provider::TensorRt] {
        assert_eq!(Provider::by_name(&provider.to_string()).unwrap(), provider);
    }
    assert!(matches!(Provider::by_name("gpu"), Err(Error::BadSetting { .. })));
}
