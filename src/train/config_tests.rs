#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use super::*;

#[test]
fn the_published_network_has_the_published_size() {
    let network = Preset::Cinema.config().unwrap().network;
    assert_eq!(network.side_px(), 1024);
    let [encoder, decoder] = network.n_parameters();
    // 23.0 and 23.1 million, as two ports count them.
    assert!((encoder as f64 / 23.0e6 - 1.0).abs() < 0.01, "{encoder}");
    assert!((decoder as f64 / 23.1e6 - 1.0).abs() < 0.01, "{decoder}");
    let [encoder, decoder] = network.n_multiplications();
    assert!((decoder as f64 / 42.7e9 - 1.0).abs() < 0.01, "{decoder}");
    // 81.7 in all, as counted by a port. Ours is the decoder's mirror image, which is 4 % more.
    let all = (encoder + decoder) as f64 / 81.7e9;
    assert!((1.0..1.05).contains(&all), "{all}");
}

#[test]
fn parameters_are_counted_as_they_are() {
    use burn::{backend::Flex, module::Module};

    use crate::train::Comb;

    let light = CombConfig::light(64).unwrap();
    let mixed = CombConfig { separable: true, whole_px: [8, 16], patches: true, ..light.clone() };
    let mixed_first = CombConfig { mixed_first_px: Some(32), ..mixed.clone() };
    for network in [Preset::Tiny.network(32).unwrap(), light, mixed, mixed_first] {
        let comb = Comb::<Flex>::new(&network, 1, &Default::default());
        let counted = [comb.encoder.num_params(), comb.decoders[0].num_params()].map(|n| n as u64);
        assert_eq!(network.n_parameters(), counted);
    }
}

#[test]
fn every_preset_goes_through_its_file_and_back() {
    let dir = tempfile::tempdir().unwrap();
    for preset in Preset::ALL {
        let config = preset.config().unwrap().checked().unwrap();
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, config.to_toml().unwrap()).unwrap();
        assert_eq!(TrainConfig::read(&path).unwrap(), config);
        assert_eq!(Preset::by_name(&preset.to_string()).unwrap(), preset);
        assert!(config.to_string().contains(&format!("{} px, ", config.side_px())));
    }
    assert!(Preset::by_name("huge").unwrap_err().to_string().contains("studio"));
}

#[test]
fn what_was_typed_wins() {
    let light = || Preset::Light.config().unwrap();
    let by = Overrides { batch: Some(3), learning_rate: Some(1e-3), flip: Some(0.0), ..Overrides::default() };
    let config = light().overridden(&by, None).unwrap();
    assert!(config.levels.iter().all(|level| level.batch == 3));
    assert_eq!((config.learning_rate, config.augmentation.flip), (1e-3, 0.0));
    assert_eq!(config.network, CombConfig::light(128).unwrap(), "the network is as it was");

    let by = Overrides { side_px: Some(256), n_steps: Some(500), ..Overrides::default() };
    let config = light().overridden(&by, None).unwrap();
    assert_eq!(config.network, CombConfig::light(256).unwrap());
    assert_eq!(config.levels.iter().map(|l| l.side_px).collect::<Vec<_>>(), [64, 128, 256]);
    assert_eq!(config.levels.iter().map(|l| l.n_steps).sum::<u64>(), 500);

    let by =
        Overrides { levels: vec!["32:7".parse().unwrap(), "64:8".parse().unwrap()], ..Overrides::default() };
    let config = light().overridden(&by, None).unwrap();
    assert_eq!((config.side_px(), config.network.side_px(), config.levels[0].n_steps), (64, 64, 7));

    // Trained on from a network of 128 px, it starts there.
    let config = light().overridden(&Overrides::default(), Some(128)).unwrap();
    assert_eq!(config.levels.len(), 1);
}

#[test]
fn a_network_that_was_written_down_can_be_cut_and_not_grown() {
    let mut own = Preset::Light.config().unwrap();
    own.network.latent = 99;
    let side = |px| Overrides { side_px: Some(px), ..Overrides::default() };
    let cut = own.clone().overridden(&side(64), None).unwrap();
    assert_eq!((cut.network.latent, cut.network.side_px()), (99, 64));
    let told = own.overridden(&side(256), None).unwrap_err().to_string();
    assert!(told.contains("ends at 128 px"), "{told}");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.toml");
    let mut good = Preset::Light.config().unwrap();
    good.levels[0].loss.adversarial = 0.5;
    let good = good.to_toml().unwrap();
    for (from, to, wanted) in [
        ("schema = \"faceswap-train-1\"", "schema = \"2\"", "this version reads"),
        ("learning_rate = 0.0002", "learning_rate = 2.0", "learning_rate = 2"),
        ("learning_rate = 0.0002", "learning_rat = 2.0", "learning_rat"),
        ("accumulate = 1", "accumulate = 0", "accumulate = 0"),
        ("side_px = 128", "side_px = 100", "twice the one before"),
        ("batch = 8", "batch = 0", "batch = 0"),
        ("adversarial = 0.5", "adversarial = -0.5", "weights must be"),
        ("latent = 256", "latent = 0", "0 channels"),
        ("encoder = [", "encoder = [1, ", "alike"),
    ] {
        assert!(good.contains(from), "{good}");
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let told = TrainConfig::read(&path).unwrap_err().to_string();
        assert!(told.contains(wanted) && told.contains("own.toml"), "{told}");
    }
}
