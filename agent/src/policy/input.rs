//! What of the cluster has been told so far, and whether that is all of it.

use std::collections::BTreeSet;

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::cluster::{Name, Namespace, Pod, Sources};

use super::source::News;

/// Which kinds of objects were listed in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pods: bool,
    namespaces: bool,
    policies: bool,
}

impl Listed {
    /// Whether all were.
    #[must_use]
    pub(super) const fn all(self) -> bool {
        self.pods && self.namespaces && self.policies
    }
}

/// Tells `compiler` the `news`. `any_sources` says that pods may send from anywhere, whatever they are annotated with.
pub(super) fn take(compiler: &mut Compiler, listed: &mut Listed, news: News, any_sources: bool) {
    match news {
        News::Pods(pods) => {
            listed.pods = true;
            let names: BTreeSet<Name> = pods.iter().map(|pod| pod.name.clone()).collect();
            let known = compiler.cluster().pods.iter();
            for (name, pod) in gone(known.map(|pod| (&pod.name, pod)), &names) {
                compiler.remove_pod(&name, pod.uid.clone());
            }
            for pod in pods {
                set_pod(compiler, pod, any_sources);
            }
        }
        News::Namespaces(namespaces) => {
            listed.namespaces = true;
            let names: BTreeSet<_> = namespaces.iter().map(|one| one.name.clone()).collect();
            for (name, _) in gone(compiler.cluster().namespaces.iter(), &names) {
                compiler.remove_namespace(&name);
            }
            for one in namespaces {
                set_namespace(compiler, one);
            }
        }
        News::Policies(policies) => {
            listed.policies = true;
            let names: BTreeSet<Name> = policies.iter().map(|one| one.name.clone()).collect();
            for (name, _) in gone(compiler.cluster().policies.iter(), &names) {
                compiler.remove_policy(&name);
            }
            for policy in policies {
                let known = compiler.cluster().policies.get(&policy.name);
                if known.is_none_or(|known| **known != policy) {
                    compiler.set_policy(policy);
                }
            }
        }
        News::Pod(pod) => set_pod(compiler, *pod, any_sources),
        News::PodGone(name, uid) => compiler.remove_pod(&name, uid),
        News::Namespace(namespace) => set_namespace(compiler, namespace),
        News::NamespaceGone(name) => compiler.remove_namespace(&name),
        News::Policy(policy) => compiler.set_policy(policy),
        News::PolicyGone(name) => compiler.remove_policy(&name),
    }
}

/// Those that are known and not among `names`.
fn gone<'a, K: Ord + Clone + 'a, V: Clone + 'a>(
    known: impl Iterator<Item = (&'a K, &'a V)>,
    names: &BTreeSet<K>,
) -> Vec<(K, V)> {
    let gone = known.filter(|(name, _)| !names.contains(name));
    gone.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Most changes of a pod are of no matter to policy.
fn set_pod(compiler: &mut Compiler, mut pod: Pod, any_sources: bool) {
    if any_sources {
        pod.sources = Sources::Any;
    }
    if compiler.pod(&pod.name) != Some(&pod) {
        compiler.set_pod(pod);
    }
}

fn set_namespace(compiler: &mut Compiler, namespace: Namespace) {
    if compiler.cluster().namespaces.get(&namespace.name) != Some(&namespace) {
        compiler.set_namespace(namespace);
    }
}

#[cfg(test)]
mod tests {
    use fairlead_netpol_model::cluster::Labels;

    use super::*;

    fn pod(name: &str, uid: &str) -> Pod {
        Pod {
            name: Name {
                namespace: "a".into(),
                name: name.into(),
            },
            uid: uid.into(),
            node: "n1".into(),
            labels: Labels::default(),
            addresses: Vec::new(),
            host_network: false,
            finished: false,
            named_ports: [].into(),
            sources: Sources::Own,
        }
    }

    fn names(compiler: &Compiler) -> Vec<&str> {
        compiler
            .cluster()
            .pods
            .iter()
            .map(|pod| &*pod.name.name)
            .collect()
    }

    #[test]
    fn a_list_replaces_what_was_known() {
        let (mut compiler, mut listed) = (Compiler::new(), Listed::default());
        let mut tell = |news| take(&mut compiler, &mut listed, news, false);
        tell(News::Pods(vec![pod("x", "1"), pod("y", "1")]));
        tell(News::Pod(Box::new(pod("z", "1"))));
        tell(News::Pods(vec![pod("y", "2")]));
        tell(News::PodGone(pod("y", "1").name, "1".into()));
        assert_eq!(names(&compiler), ["y"]);
        assert!(!listed.all());
        take(&mut compiler, &mut listed, News::Namespaces(vec![]), false);
        take(&mut compiler, &mut listed, News::Policies(vec![]), false);
        assert!(listed.all());
    }

    #[test]
    fn sources_are_not_checked_where_the_configuration_says_so() {
        let (mut compiler, mut listed) = (Compiler::new(), Listed::default());
        take(
            &mut compiler,
            &mut listed,
            News::Pod(Box::new(pod("x", "1"))),
            true,
        );
        assert_eq!(
            compiler.pod(&pod("x", "1").name).unwrap().sources,
            Sources::Any
        );
    }
}
