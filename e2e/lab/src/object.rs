//! Kubernetes objects as an agent reads them from a folder.

use std::net::IpAddr;

/// The Node `name` as YAML, with its internal addresses and pod ranges.
#[must_use]
pub fn node_object(name: &str, addresses: &[IpAddr], ranges: &[String]) -> String {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|a| format!("{{type: InternalIP, address: '{a}'}}"))
        .collect();
    let ranges: Vec<String> = ranges.iter().map(|range| format!("'{range}'")).collect();
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{podCIDRs: [{}]}}\n\
         status: {{addresses: [{}]}}\n",
        ranges.join(", "),
        addresses.join(", ")
    )
}
