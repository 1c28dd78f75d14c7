//! Keys, certificates and kubeconfigs of a cluster.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use crate::plan::{API_PORT, API_SERVICE, Cluster, Member, ROUTER};

/// Clients of the API server: file name, organisation (the group), common name (the user).
const CLIENTS: [(&str, &str, &str); 6] = [
    ("admin", "system:masters", "admin"),
    (
        "kubelet-client",
        "system:masters",
        "apiserver-kubelet-client",
    ),
    ("front-proxy", "", "front-proxy-client"),
    ("controller-manager", "", "system:kube-controller-manager"),
    ("scheduler", "", "system:kube-scheduler"),
    ("kube-proxy", "", "system:kube-proxy"),
];

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Makes everything once; the authority's certificate, written last, says that it is complete.
pub(crate) fn ensure(cluster: &Cluster) -> Result<()> {
    let done = cluster.pki("ca.crt");
    if done.exists() {
        return Ok(());
    }
    fs::create_dir_all(cluster.pki("")).context("create the folder of certificates")?;
    let authority = authority()?;
    write(&cluster.pki("ca.key"), &authority.key().serialize_pem())?;
    let tokens = KeyPair::generate()?;
    write(&cluster.pki("sa.key"), &tokens.serialize_pem())?;
    write(&cluster.pki("sa.pub"), &tokens.public_key_pem())?;
    for (file, group, user) in CLIENTS {
        issue(cluster, &authority, file, subject(group, user), &[])?;
    }
    issue(
        cluster,
        &authority,
        "apiserver",
        subject("", "kube-apiserver"),
        &api_names()?,
    )?;
    for member in cluster.node_members() {
        let Member::Node(index) = member else {
            continue;
        };
        let name = member.to_string();
        let user = format!("system:node:{name}");
        let (v4, v6) = cluster.addresses(index);
        let names = [
            dns(&name)?,
            SanType::IpAddress(v4.into()),
            SanType::IpAddress(v6.into()),
        ];
        issue(
            cluster,
            &authority,
            &name,
            subject("system:nodes", &user),
            &names,
        )?;
    }
    write(&done, &authority.pem())?;
    kubeconfigs(cluster)
}

/// Writes the kubeconfig for programs on the machine itself.
pub(crate) fn host_kubeconfig(cluster: &Cluster, port: u16) -> Result<()> {
    let server = format!("https://127.0.0.1:{port}");
    kubeconfig(cluster, "admin", &server, &cluster.kubeconfig())
}

fn authority() -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject("", "fairlead-lab");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("make the authority")
}

fn issue(
    cluster: &Cluster,
    authority: &Authority,
    file: &str,
    subject: DistinguishedName,
    names: &[SanType],
) -> Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.subject_alt_names = names.to_vec();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate()?;
    let certificate = params
        .signed_by(&key, authority)
        .with_context(|| format!("certify {file}"))?;
    write(&cluster.pki(&format!("{file}.crt")), &certificate.pem())?;
    write(&cluster.pki(&format!("{file}.key")), &key.serialize_pem())
}

fn subject(group: &str, user: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if !group.is_empty() {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, user);
    name
}

fn api_names() -> Result<Vec<SanType>> {
    let mut names = vec![dns("localhost")?];
    for suffix in ["", ".default", ".default.svc", ".default.svc.cluster.local"] {
        names.push(dns(&format!("kubernetes{suffix}"))?);
    }
    let service: IpAddr = API_SERVICE.parse()?;
    let loopback: IpAddr = "127.0.0.1".parse()?;
    for address in [service, loopback, ROUTER.0.into(), ROUTER.1.into()] {
        names.push(SanType::IpAddress(address));
    }
    Ok(names)
}

fn dns(name: &str) -> Result<SanType> {
    Ok(SanType::DnsName(
        name.try_into().context("name in a certificate")?,
    ))
}

/// Inside the lab everyone reaches the API server by the control plane's address.
fn kubeconfigs(cluster: &Cluster) -> Result<()> {
    let server = format!("https://{}:{API_PORT}", ROUTER.0);
    let fixed = ["admin", "controller-manager", "scheduler", "kube-proxy"].map(str::to_owned);
    for user in fixed
        .into_iter()
        .chain(cluster.node_members().map(|node| node.to_string()))
    {
        kubeconfig(
            cluster,
            &user,
            &server,
            &cluster.pki(&format!("{user}.kubeconfig")),
        )?;
    }
    Ok(())
}

/// Paths rather than contents: the file stays readable, and all members see the same folder.
fn kubeconfig(cluster: &Cluster, user: &str, server: &str, out: &Path) -> Result<()> {
    let file = |name: String| cluster.pki(&name).display().to_string();
    let name = &cluster.name;
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": name,
            "cluster": {"server": server, "certificate-authority": file("ca.crt".into())},
        }],
        "users": [{"name": user, "user": {
            "client-certificate": file(format!("{user}.crt")),
            "client-key": file(format!("{user}.key")),
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    });
    write(out, &serde_json::to_string_pretty(&config)?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text).with_context(|| format!("write {}", path.display()))?;
    fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))
}
