//! The configuration of the bridge role: the reference plugin's keys, each checked once.

use std::collections::BTreeSet;

use fairlead_cni_netlink::LinkName;
use fairlead_cni_spec::{Fields, SpecError};
use serde_json::Value;

use crate::call::Call;
use crate::error::Result;

/// `bridge` when it is not given.
const DEFAULT_BRIDGE: &str = "cni0";

/// Smallest MTU of IPv4 and of IPv6 (RFC 791, RFC 8200 section 5) and the largest of a veth pair, in bytes.
const MTU_MIN: u32 = 68;
const MTU_MIN_V6: u32 = 1280;
const MTU_MAX: u32 = 65_535;

/// The highest VLAN id (IEEE 802.1Q).
const VLAN_MAX: u32 = 4094;

/// Checked configuration; the names are those of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of its own in the configuration"
)]
pub(super) struct Conf {
    pub(super) bridge: LinkName,
    pub(super) is_gateway: bool,
    pub(super) is_default_gateway: bool,
    pub(super) force_address: bool,
    pub(super) ip_masq: bool,
    /// In bytes; `None` leaves the kernel's default.
    pub(super) mtu: Option<u32>,
    pub(super) hairpin_mode: bool,
    pub(super) promisc_mode: bool,
    pub(super) mac_spoof_check: bool,
    pub(super) enable_dad: bool,
    pub(super) disable_container_interface: bool,
    pub(super) port_isolation: bool,
    pub(super) vlan: Vlan,
}

/// `vlan`, `vlanTrunk` and `preserveDefaultVlan`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Vlan {
    /// The VLAN of the pod's untagged frames.
    pub(super) access: Option<u16>,
    /// VLANs whose tagged frames pass, ascending.
    pub(super) trunk: Vec<u16>,
    /// Whether the bridge's default VLAN stays on the port.
    pub(super) preserve_default: bool,
    /// Whether the bridge must filter: also an empty `vlanTrunk` asks for it.
    pub(super) filtering: bool,
}

impl Vlan {
    /// The key that asks for filtering and its value, for the message on a kernel that has none.
    pub(super) fn asked_by(&self) -> (&'static str, String) {
        match self.access {
            Some(id) => ("vlan", id.to_string()),
            None => ("vlanTrunk", format!("{:?}", self.trunk)),
        }
    }
}

impl Conf {
    /// Reads the keys.
    pub(super) fn parse(call: &Call) -> Result<Self> {
        let fields = call.conf.fields();
        let is_default_gateway = fields.flag("isDefaultGateway")?;
        let conf = Self {
            bridge: bridge(&fields)?,
            is_gateway: fields.flag("isGateway")? || is_default_gateway,
            is_default_gateway,
            force_address: fields.flag("forceAddress")?,
            ip_masq: fields.flag("ipMasq")?,
            mtu: mtu(&fields)?,
            hairpin_mode: fields.flag("hairpinMode")?,
            promisc_mode: fields.flag("promiscMode")?,
            mac_spoof_check: fields.flag("macspoofchk")?,
            enable_dad: fields.flag("enabledad")?,
            disable_container_interface: fields.flag("disableContainerInterface")?,
            port_isolation: fields.flag("portIsolation")?,
            vlan: vlan(&fields)?,
        };
        // Both names of the reference plugin are taken; rules are made over nfnetlink either way.
        fields.parsed("ipMasqBackend", "\"iptables\" or \"nftables\"", |backend| {
            matches!(backend, "iptables" | "nftables").then_some(())
        })?;
        let yes = Value::Bool(true);
        if conf.disable_container_interface && call.conf.ipam.is_some() {
            return Err(fields
                .invalid(
                    "disableContainerInterface",
                    &yes,
                    "false together with ipam",
                )
                .into());
        }
        if conf.hairpin_mode && conf.promisc_mode {
            return Err(fields
                .invalid("hairpinMode", &yes, "false together with promiscMode")
                .into());
        }
        Ok(conf)
    }

    /// Refuses an MTU on which IPv6 does not run.
    pub(super) fn check_mtu(&self, has_v6: bool) -> Result<()> {
        match self.mtu {
            Some(mtu) if has_v6 && mtu < MTU_MIN_V6 => Err(SpecError::InvalidValue {
                key: "mtu".to_owned(),
                value: mtu.to_string(),
                legal: format!("an integer from {MTU_MIN_V6} to {MTU_MAX} with IPv6 addresses"),
            }
            .into()),
            _ => Ok(()),
        }
    }
}

fn bridge(fields: &Fields<'_>) -> Result<LinkName> {
    let legal = "1 to 15 bytes without '/', ':' or white space, and neither \".\" nor \"..\"";
    let name = fields.parsed("bridge", legal, |text| LinkName::new(text).ok())?;
    Ok(name.map_or_else(|| LinkName::new(DEFAULT_BRIDGE), Ok)?)
}

/// 0 is the same as a missing key, as in the reference plugin.
fn mtu(fields: &Fields<'_>) -> Result<Option<u32>> {
    if fields.get("mtu").and_then(Value::as_u64) == Some(0) {
        return Ok(None);
    }
    Ok(fields.int("mtu", MTU_MIN..=MTU_MAX)?)
}

fn vlan(fields: &Fields<'_>) -> Result<Vlan> {
    let id = |value: Option<u32>| value.and_then(|id| u16::try_from(id).ok());
    let access = id(fields.int("vlan", 0..=VLAN_MAX)?).filter(|id| *id != 0);
    let mut trunk = BTreeSet::new();
    for item in fields.children("vlanTrunk")? {
        let number = |key| Ok::<_, SpecError>(id(item.int(key, 1..=VLAN_MAX)?));
        match (number("minID")?, number("maxID")?) {
            (None, None) => {}
            (Some(min), Some(max)) if min <= max => trunk.extend(min..=max),
            (Some(min), Some(max)) => {
                let legal = format!("an integer from {min} to {VLAN_MAX}, not below minID");
                return Err(item.invalid("maxID", &max.into(), legal).into());
            }
            (Some(_), None) => {
                return Err(item.missing("maxID", "given together with minID").into());
            }
            (None, Some(_)) => {
                return Err(item.missing("minID", "given together with maxID").into());
            }
        }
        trunk.extend(number("id")?);
    }
    Ok(Vlan {
        access,
        trunk: trunk.into_iter().collect(),
        preserve_default: fields.flag("preserveDefaultVlan")?,
        filtering: access.is_some() || fields.get("vlanTrunk").is_some(),
    })
}

#[cfg(test)]
mod tests {
    use fairlead_cni_spec::{Command, PluginConf};

    use super::*;

    fn parse(keys: &str) -> Result<Conf> {
        let stdin =
            format!(r#"{{"cniVersion":"1.0.0","name":"a","type":"bridge"{keys}}}"#).into_bytes();
        let conf = PluginConf::parse(&stdin).unwrap();
        Conf::parse(&Call {
            conf,
            stdin,
            path: Vec::new(),
            netns_override: false,
        })
    }

    #[test]
    fn the_defaults_are_those_of_the_reference_plugin() {
        let conf = parse("").unwrap();
        assert_eq!(conf.bridge.as_str(), "cni0");
        assert_eq!(conf.mtu, None);
        assert!(!conf.is_gateway && !conf.ip_masq && !conf.vlan.filtering);
        assert_eq!(parse(r#","mtu":0,"vlan":0"#).unwrap(), conf);
    }

    #[test]
    fn a_default_gateway_is_a_gateway() {
        assert!(parse(r#","isDefaultGateway":true"#).unwrap().is_gateway);
    }

    #[test]
    fn trunks_are_collected() {
        let conf = parse(r#","vlanTrunk":[{"id":42},{"minID":10,"maxID":12},{"id":11}]"#).unwrap();
        assert_eq!(conf.vlan.trunk, [10, 11, 12, 42]);
        assert!(conf.vlan.filtering);
        assert_eq!(
            conf.vlan.asked_by(),
            ("vlanTrunk", "[10, 11, 12, 42]".to_owned())
        );
        assert!(parse(r#","vlanTrunk":[]"#).unwrap().vlan.filtering);
    }

    #[test]
    fn wrong_values_are_refused_in_words() {
        for (keys, code, text) in [
            (
                r#","mtu":"1500""#,
                6,
                "mtu: \"1500\" is a string, it must be an integer from 68 to 65535",
            ),
            (
                r#","mtu":67"#,
                7,
                "mtu: 67 is not legal, it must be an integer from 68 to 65535",
            ),
            (
                r#","mtu":65536"#,
                7,
                "mtu: 65536 is not legal, it must be an integer from 68 to 65535",
            ),
            (
                r#","bridge":"a-bridge-of-20-bytes""#,
                7,
                "bridge: \"a-bridge-of-20-bytes\" is not legal, it must be 1 to 15 bytes without '/', ':' or white space, and neither \".\" nor \"..\"",
            ),
            (
                r#","isGateway":"yes""#,
                6,
                "isGateway: \"yes\" is a string, it must be true or false",
            ),
            (
                r#","vlan":4095"#,
                7,
                "vlan: 4095 is not legal, it must be an integer from 0 to 4094",
            ),
            (
                r#","vlanTrunk":[{"minID":20,"maxID":10}]"#,
                7,
                "vlanTrunk[0].maxID: 10 is not legal, it must be an integer from 20 to 4094, not below minID",
            ),
            (
                r#","vlanTrunk":[{"minID":20}]"#,
                7,
                "vlanTrunk[0].maxID: missing, it must be given together with minID",
            ),
            (
                r#","vlanTrunk":[{"maxID":20}]"#,
                7,
                "vlanTrunk[0].minID: missing, it must be given together with maxID",
            ),
            (
                r#","vlanTrunk":[{"id":0}]"#,
                7,
                "vlanTrunk[0].id: 0 is not legal, it must be an integer from 1 to 4094",
            ),
            (
                r#","ipMasqBackend":"ebtables""#,
                7,
                "ipMasqBackend: \"ebtables\" is not legal, it must be \"iptables\" or \"nftables\"",
            ),
        ] {
            let object = parse(keys).unwrap_err().object(Command::Add);
            assert_eq!(
                (object.code.number(), object.msg.as_str()),
                (code, text),
                "{keys}"
            );
        }
    }

    #[test]
    fn keys_that_exclude_each_other_are_refused() {
        for (keys, code, text) in [
            (
                r#","hairpinMode":true,"promiscMode":true"#,
                7,
                "hairpinMode: true is not legal, it must be false together with promiscMode",
            ),
            (
                r#","disableContainerInterface":true,"ipam":{"type":"host-local"}"#,
                7,
                "disableContainerInterface: true is not legal, it must be false together with ipam",
            ),
        ] {
            let object = parse(keys).unwrap_err().object(Command::Add);
            assert_eq!(
                (object.code.number(), object.msg.as_str()),
                (code, text),
                "{keys}"
            );
        }
    }

    #[test]
    fn ipv6_needs_an_mtu_of_1280() {
        let conf = parse(r#","mtu":1279"#).unwrap();
        assert!(conf.check_mtu(false).is_ok());
        assert_eq!(
            conf.check_mtu(true).unwrap_err().to_string(),
            "mtu: 1279 is not legal, it must be an integer from 1280 to 65535 with IPv6 addresses"
        );
    }
}
