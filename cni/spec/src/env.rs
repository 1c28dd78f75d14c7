//! The environment that a runtime calls a plugin with (spec section 2, "Parameters").

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::{Args, ContainerId, IfName, SpecError};

/// The operations of the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach a container; repeatable.
    Del,
    /// Compare an attachment with its result.
    Check,
    /// Say whether ADD can be served.
    Status,
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Say which versions are spoken.
    Version,
}

impl Command {
    /// The command as `CNI_COMMAND` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Gc => "GC",
            Self::Version => "VERSION",
        }
    }

    fn parse(text: &str) -> Result<Self, SpecError> {
        [
            Self::Add,
            Self::Del,
            Self::Check,
            Self::Status,
            Self::Gc,
            Self::Version,
        ]
        .into_iter()
        .find(|command| command.as_str() == text)
        .ok_or_else(|| SpecError::InvalidEnv {
            key: "CNI_COMMAND".to_owned(),
            value: format!("{text:?}"),
            legal: "one of ADD, DEL, CHECK, STATUS, GC, VERSION".to_owned(),
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One container's interface in one network: what ADD, DEL and CHECK are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container_id: ContainerId,
    /// `CNI_IFNAME`.
    pub ifname: IfName,
    /// `CNI_ARGS`.
    pub args: Args,
}

/// The command with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// ADD into the namespace at the path.
    Add(Attachment, PathBuf),
    /// DEL; the path is absent when the namespace is known to be gone.
    Del(Attachment, Option<PathBuf>),
    /// CHECK in the namespace at the path.
    Check(Attachment, PathBuf),
    /// STATUS.
    Status,
    /// GC.
    Gc,
    /// VERSION.
    Version,
}

impl Operation {
    /// The command alone.
    #[must_use]
    pub fn command(&self) -> Command {
        match self {
            Self::Add(..) => Command::Add,
            Self::Del(..) => Command::Del,
            Self::Check(..) => Command::Check,
            Self::Status => Command::Status,
            Self::Gc => Command::Gc,
            Self::Version => Command::Version,
        }
    }
}

/// The whole environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    /// What to do.
    pub operation: Operation,
    /// `CNI_PATH`: where delegated plugins are looked for, in order.
    pub path: Vec<PathBuf>,
    /// `CNI_NETNS_OVERRIDE`: the container's namespace may be the plugin's own.
    pub netns_override: bool,
}

impl Env {
    /// Reads the variables through `lookup`; an empty value counts as not set.
    ///
    /// # Errors
    /// [`SpecError::MissingEnv`] naming every missing variable, [`SpecError::InvalidEnv`] for a value
    /// that is not legal.
    pub fn parse(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, SpecError> {
        let vars = Vars { lookup };
        let Some(command) = vars.text("CNI_COMMAND")? else {
            return Err(SpecError::MissingEnv {
                names: "CNI_COMMAND".to_owned(),
                command: "a CNI plugin",
            });
        };
        let command = Command::parse(&command)?;
        let needed: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Command::Gc => &["CNI_PATH"],
            Command::Status | Command::Version => &[],
        };
        vars.require(needed, command)?;
        let netns = || vars.raw("CNI_NETNS").map(PathBuf::from);
        let operation = match command {
            Command::Add => Operation::Add(vars.attachment()?, netns().unwrap_or_default()),
            Command::Del => Operation::Del(vars.attachment()?, netns()),
            Command::Check => Operation::Check(vars.attachment()?, netns().unwrap_or_default()),
            Command::Status => Operation::Status,
            Command::Gc => Operation::Gc,
            Command::Version => Operation::Version,
        };
        let path = vars.raw("CNI_PATH").unwrap_or_default();
        let own_netns = vars.text("CNI_NETNS_OVERRIDE")?.unwrap_or_default();
        Ok(Self {
            operation,
            path: std::env::split_paths(&path)
                .filter(|dir| !dir.as_os_str().is_empty())
                .collect(),
            netns_override: own_netns == "1" || own_netns.eq_ignore_ascii_case("true"),
        })
    }
}

struct Vars<F> {
    lookup: F,
}

impl<F: Fn(&str) -> Option<OsString>> Vars<F> {
    fn raw(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Result<Option<String>, SpecError> {
        self.raw(name)
            .map(OsString::into_string)
            .transpose()
            .map_err(|value| SpecError::InvalidEnv {
                key: name.to_owned(),
                value: format!("{:?}", value.to_string_lossy()),
                legal: "UTF-8".to_owned(),
            })
    }

    fn require(&self, names: &[&str], command: Command) -> Result<(), SpecError> {
        let missing: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| self.raw(name).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(SpecError::MissingEnv {
            names: missing.join(", "),
            command: command.as_str(),
        })
    }

    fn attachment(&self) -> Result<Attachment, SpecError> {
        Ok(Attachment {
            container_id: ContainerId::parse(&self.text("CNI_CONTAINERID")?.unwrap_or_default())?,
            ifname: IfName::parse(&self.text("CNI_IFNAME")?.unwrap_or_default())?,
            args: Args::parse(&self.text("CNI_ARGS")?.unwrap_or_default())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn parse(vars: &[(&str, &str)]) -> Result<Env, SpecError> {
        Env::parse(|name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    const ADD: [(&str, &str); 5] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin::/usr/lib/cni"),
    ];

    fn text(vars: &[(&str, &str)]) -> String {
        let error = parse(vars).unwrap_err();
        assert_eq!(error.code(), Code::InvalidEnvironment);
        error.to_string()
    }

    #[test]
    fn add_has_all_it_needs() {
        let env = parse(&ADD).unwrap();
        assert_eq!(
            env.path,
            [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]
        );
        assert!(!env.netns_override);
        let Operation::Add(attachment, netns) = env.operation else {
            panic!()
        };
        assert_eq!(attachment.container_id.as_str(), "c1");
        assert_eq!(attachment.ifname.as_str(), "eth0");
        assert_eq!(netns, PathBuf::from("/run/netns/x"));
    }

    #[test]
    fn every_missing_variable_is_named() {
        assert_eq!(text(&[]), "CNI_COMMAND: not set, a CNI plugin needs it");
        assert_eq!(
            text(&[
                ("CNI_COMMAND", "ADD"),
                ("CNI_IFNAME", "eth0"),
                ("CNI_NETNS", "")
            ]),
            "CNI_CONTAINERID, CNI_NETNS: not set, ADD needs it"
        );
        assert_eq!(
            text(&[("CNI_COMMAND", "GC")]),
            "CNI_PATH: not set, GC needs it"
        );
    }

    #[test]
    fn an_unknown_command_is_named() {
        assert_eq!(
            text(&[("CNI_COMMAND", "add")]),
            "CNI_COMMAND: \"add\" is not legal, it must be one of ADD, DEL, CHECK, STATUS, GC, VERSION"
        );
    }

    #[test]
    fn del_works_without_a_namespace_and_status_without_anything() {
        let vars = [
            ("CNI_COMMAND", "DEL"),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_IFNAME", "eth0"),
        ];
        assert!(matches!(
            parse(&vars).unwrap().operation,
            Operation::Del(_, None)
        ));
        for command in ["STATUS", "VERSION"] {
            let env = parse(&[("CNI_COMMAND", command)]).unwrap();
            assert_eq!(env.operation.command().as_str(), command);
        }
    }

    #[test]
    fn the_override_is_1_or_true() {
        for (value, expected) in [
            ("1", true),
            ("TRUE", true),
            ("true", true),
            ("0", false),
            ("yes", false),
        ] {
            let env = parse(&[("CNI_COMMAND", "VERSION"), ("CNI_NETNS_OVERRIDE", value)]).unwrap();
            assert_eq!(env.netns_override, expected, "{value}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        use std::os::unix::ffi::OsStringExt;
        let error = Env::parse(|_| Some(OsString::from_vec(vec![0xff]))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CNI_COMMAND: \"\u{fffd}\" is not legal, it must be UTF-8"
        );
    }
}
