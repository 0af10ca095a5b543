//! The binary.

fn main() -> anyhow::Result<()> {
    for (name, yaml) in plimsoll::api::crds()? {
        std::fs::write(format!("crds/{name}"), yaml)?;
    }
    Ok(())
}
