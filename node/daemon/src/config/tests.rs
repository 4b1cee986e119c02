use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("config.toml"), text)
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(parse("").unwrap(), Config::default());
    let home = tempfile::tempdir().unwrap();
    assert_eq!(Config::load(home.path()).unwrap(), Config::default());
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest() {
    let error = parse("quoat = \"20GB\"").unwrap_err();
    assert!(
        matches!(&error, ConfigError::UnknownKey { key, nearest: "quota", .. } if key == "quoat"),
        "{error}"
    );
    let error = parse("[periods]\ninventry = \"1h\"").unwrap_err();
    assert!(
        matches!(&error, ConfigError::UnknownKey { key, nearest: "inventory", .. } if key == "periods.inventry"),
        "{error}"
    );
}

#[test]
fn values_that_cannot_be_are_refused() {
    for text in [
        "quota = \"much\"",
        "name = \"\"",
        "name = \"a\\u0007b\"",
        "survive = 200",
        "limit_up = \"1B/s\"",
        "limit_down = 5",
        "pause = \"soon\"",
        "leaving = 1",
        "peer_quotas = [\"attic=5GB\"]",
        "[fair]\ntolerance = 1001",
        "[fair]\nwarning = \"0s\"",
        "port = 70000",
        "mdns = 1",
        "[periods]\nroster = \"0s\"",
        "listen = \"/ip4/127.0.0.1/tcp/1\"",
        "broken",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn saving_keeps_what_a_person_wrote() {
    let home = tempfile::tempdir().unwrap();
    let text = "# mine\nmdns = false  # quiet\nquota = '5GiB'\n\n[periods]\nroster = \"1m\"\n";
    std::fs::write(home.path().join(FILE_NAME), text).unwrap();
    let mut config = Config::load(home.path()).unwrap();
    config.port = Some(4000);
    config.quota = Some(ByteCount(7_000_000_000));
    config.name = Some("the \"old\" laptop".to_owned());
    config.limit_up = parse_rate("2MB/s").unwrap();
    config.generous = Some(false);
    config.leaving = true;
    config.pause = Some(Pause::Until(nuthatch_format::Timestamp(1_800_000_000_123)));
    let peer =
        nuthatch_format::NodeId::from_bytes(nuthatch_format::signed::KeyPair::from_seed(&[1; 32]).public());
    config.peer_quotas.insert(peer, ByteCount(5_000_000_000));
    config.save(home.path()).unwrap();
    let saved = std::fs::read_to_string(home.path().join(FILE_NAME)).unwrap();
    assert!(
        saved.contains("# mine\nmdns = false  # quiet\nquota = \"7GB\"\n"),
        "{saved}"
    );
    assert!(saved.ends_with("[periods]\nroster = \"1m\"\n"), "{saved}");
    assert_eq!(Config::load(home.path()).unwrap(), config);
}

#[test]
fn what_is_asked_in_return_is_a_setting_and_looked_at_often_enough() {
    let config =
        parse("[fair]\nallowance = \"10MB\"\ntolerance = 0\nwarning = \"2s\"\nrelease = \"4s\"").unwrap();
    let rules = config.fair.rules();
    assert_eq!(
        (rules.allowance, rules.tolerance_percent),
        (ByteCount(10_000_000), 0)
    );
    assert_eq!((rules.warning.0, rules.release.0), (2000, 4000));
    assert!(rules.look.0 <= 250);
    assert_eq!(
        Fair::default().rules(),
        nuthatch_engine::rules::Rules::default().fair
    );
}

#[test]
fn a_value_over_several_lines_is_left_to_the_person() {
    let home = tempfile::tempdir().unwrap();
    let text = "listen = [\n  \"/ip4/127.0.0.1/tcp/1\",\n]\n";
    std::fs::write(home.path().join(FILE_NAME), text).unwrap();
    let mut config = Config::load(home.path()).unwrap();
    config.listen.clear();
    assert!(config.save(home.path()).is_err());
    assert_eq!(
        std::fs::read_to_string(home.path().join(FILE_NAME)).unwrap(),
        text
    );
}

#[test]
fn a_size_is_the_same_after_writing_it() {
    for size in [
        0,
        1,
        999,
        1000,
        1024,
        20_000_000_000,
        5 * 1024 * 1024 * 1024,
        3_000_000_000_000,
    ] {
        assert_eq!(parse_size(&size_text(ByteCount(size))), Ok(ByteCount(size)));
    }
    assert_eq!(parse_size("20GB"), Ok(ByteCount(20_000_000_000)));
    assert_eq!(parse_size("20GiB"), Ok(ByteCount(20 * 1024 * 1024 * 1024)));
    assert!(parse_size("-1").is_err());
}
