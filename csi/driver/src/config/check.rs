//! From the written configuration to the checked one; the only place that judges values.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use fairlead_csi_volume::{Reserve, WhenFull, aside, is_lvm_name};

use super::{Class, Config, ConfigError, Log, raw};

type Checked<T> = Result<T, ConfigError>;

fn bad<T>(key: impl Into<String>, why: impl Into<String>) -> Checked<T> {
    Err(ConfigError::Value {
        key: key.into(),
        why: why.into(),
    })
}

pub(super) fn config(
    raw: raw::Raw,
    environment: impl Fn(&str) -> Option<String>,
) -> Checked<Config> {
    let given = |value: String, key: &str, variable: &str| {
        let value = Some(value).filter(|value| !value.is_empty());
        match value.or_else(|| environment(variable).filter(|value| !value.is_empty())) {
            Some(value) => Ok(value),
            None => bad(
                key,
                format!("must be set here or as {variable} in the environment"),
            ),
        }
    };
    let node = given(raw.node.name, "node.name", "NODE_NAME")?;
    if node.len() > 192 || node.chars().any(char::is_control) {
        return bad(
            "node.name",
            format!("{node:?} is no name of a node: 1 to 192 bytes, no control characters"),
        );
    }
    let cluster = given(raw.cluster.id, "cluster.id", "CLUSTER_ID")?;
    if cluster.len() > 64 || !cluster.bytes().all(|byte| byte.is_ascii_graphic()) {
        return bad(
            "cluster.id",
            format!("{cluster:?} is no id: 1 to 64 printable ASCII characters, no spaces"),
        );
    }
    let grace = raw.gc.grace.as_deref();
    Ok(Config {
        node,
        endpoint: path("endpoint", raw.endpoint, "/run/fairlead/csi.sock")?,
        cluster,
        run_dir: path("runDir", raw.run_dir, "/run/fairlead/csi")?,
        classes: classes(raw.classes)?,
        ephemeral: raw.ephemeral.enabled,
        grace: match grace.map(aside::grace) {
            None => aside::GRACE,
            Some(Ok(grace)) => grace,
            Some(Err(error)) => return bad("gc.grace", error.to_string()),
        },
        volumes: (raw.limits.volumes != 0).then_some(raw.limits.volumes),
        health: socket("health.listen", raw.health.listen, "127.0.0.1:9477")?,
        metrics: match raw.metrics.enabled {
            Some(false) => None,
            _ => Some(socket(
                "metrics.listen",
                raw.metrics.listen,
                "0.0.0.0:9478",
            )?),
        },
        log: log(&raw.log)?,
    })
}

fn path(key: &str, path: Option<PathBuf>, default: &str) -> Checked<PathBuf> {
    let path = path.unwrap_or_else(|| default.into());
    if path.is_absolute() {
        return Ok(path);
    }
    bad(key, format!("{} is no absolute path", path.display()))
}

fn socket(key: &str, text: Option<String>, default: &str) -> Checked<SocketAddr> {
    let text = text.unwrap_or_else(|| default.to_owned());
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => bad(
            key,
            format!("{text:?} is no address with a port, such as {default}"),
        ),
    }
}

fn log(raw: &raw::Log) -> Checked<Log> {
    let level = raw.level.as_deref().unwrap_or("info");
    match level.parse() {
        Ok(level) => Ok(Log {
            format: raw.format,
            level,
        }),
        Err(_) => bad(
            "log.level",
            format!("is {level:?}; trace, debug, info, warn and error are known"),
        ),
    }
}

fn classes(raw: Vec<raw::Class>) -> Checked<Vec<Class>> {
    if raw.is_empty() {
        return bad("classes", "at least one is needed");
    }
    let mut names = BTreeSet::new();
    let mut classes: Vec<Class> = Vec::new();
    for (index, class) in raw.into_iter().enumerate() {
        let class = one(index, class)?;
        if !names.insert(class.name.clone()) {
            return bad("classes", format!("two are named {:?}", class.name));
        }
        let same = |other: &&Class| other.vg == class.vg && other.pool == class.pool;
        let differs = |other: &&Class| {
            let mine = (
                class.create_pool,
                class.overprovision_percent,
                class.when_full,
            );
            mine != (
                other.create_pool,
                other.overprovision_percent,
                other.when_full,
            ) || class.reserve != other.reserve
        };
        if let Some(other) = classes.iter().filter(same).find(differs) {
            let why = format!(
                "has the pool {} of volume group {} as {} has, and says other things of it: createPool, \
                 overprovision, reserve and whenFull belong to a pool",
                class.pool, class.vg, other.name
            );
            return bad(format!("classes[{index}]"), why);
        }
        classes.push(class);
    }
    Ok(classes)
}

fn one(index: usize, raw: raw::Class) -> Checked<Class> {
    let key = |key: &str| format!("classes[{index}].{key}");
    let name = |field: &str, name: String| {
        if is_lvm_name(&name) {
            return Ok(name);
        }
        bad(
            key(field),
            format!(
                "{name:?} is no name: 1 to 127 letters, digits, '_', '.', '+' and '-', no '-' first"
            ),
        )
    };
    let overprovision = raw.overprovision.unwrap_or(2.0);
    if !(1.0..=100.0).contains(&overprovision) {
        let why = format!("is {overprovision}: 1 (nothing is promised twice) to 100");
        return bad(key("overprovision"), why);
    }
    let when_full = raw.when_full.unwrap_or_else(|| "queue".to_owned());
    Ok(Class {
        name: name("name", raw.name)?,
        vg: name("vg", raw.vg)?,
        pool: name(
            "pool",
            raw.pool.unwrap_or_else(|| "fairlead-pool".to_owned()),
        )?,
        create_pool: raw.create_pool.unwrap_or(true),
        overprovision_percent: hundredths(overprovision),
        reserve: reserve_of(key("reserve"), raw.reserve)?,
        when_full: match when_full.as_str() {
            "queue" => WhenFull::Queue,
            "error" => WhenFull::Error,
            other => {
                let why = format!("is {other:?}; queue and error are known");
                return bad(key("whenFull"), why);
            }
        },
    })
}

fn reserve_of(key: String, text: Option<String>) -> Checked<Reserve> {
    let text = text.unwrap_or_else(|| "5%".to_owned());
    if let Some(reserve) = Reserve::from_text(&text) {
        return Ok(reserve);
    }
    let why = format!("is {text:?}; 0% to 90% or a size such as 10Gi are known");
    bad(key, why)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be 1 to 100"
)]
fn hundredths(ratio: f64) -> u32 {
    (ratio * 100.0).round() as u32
}
