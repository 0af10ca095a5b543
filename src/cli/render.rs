//! `plimsoll render`: what will be applied, marks included.
//!
//! Enters: a checked-out directory, or an Application manifest with the root of its repository.
//! Leaves: the objects as the controller would send them.
//! Never: the cluster; kinds that only it knows count as namespaced.

use serde_json::Value;

use super::{
    Exit, Failure,
    args::{OutputFormat, RenderArgs},
    input, output,
};
use crate::{
    api::Application,
    model::{ApplicationKey, Object},
    pipeline,
    plan::without_ignored,
    render::{RenderSpec, Rendered},
};

pub(super) fn run(args: &RenderArgs) -> Result<Exit, Failure> {
    let (key, objects, rendered) = match &args.application {
        Some(manifest) => of_manifest(args, manifest)?,
        None => {
            let key = ApplicationKey {
                namespace: args.namespace.clone(),
                name: args.name.clone(),
            };
            let rendered = local(&args.directory, "", &args.namespace)?;
            let objects = rendered.placed(&key, &|_| None);
            (key, objects, rendered)
        }
    };
    for warning in rendered.warnings() {
        output::message(&format!("warning: {warning}"));
    }
    print(args.output, &objects)?;
    output::message(&format!(
        "{key}: {} objects, {}",
        rendered.objects().len(),
        rendered.digest()
    ));
    Ok(Exit::Ok)
}

fn of_manifest(
    args: &RenderArgs,
    manifest: &std::path::Path,
) -> Result<(ApplicationKey, Vec<Object>, Rendered), Failure> {
    let text = input::read(manifest)?;
    let application: Application = serde_yaml::from_str(&text).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("decode {}: {error}", manifest.display()),
        )
    })?;
    let mut key = pipeline::application_key(&application);
    if key.namespace.is_empty() {
        key.namespace.clone_from(&args.namespace);
    }
    let spec = &application.spec;
    let namespace = spec.target.namespace.as_ref().unwrap_or(&key.namespace);
    let rendered = local(&args.directory, &spec.source.path, namespace)?;
    let objects = rendered
        .placed(&key, &|_| None)
        .iter()
        .map(|object| without_ignored(object, &spec.apply.ignore))
        .collect();
    Ok((key, objects, rendered))
}

/// Renders a path below a directory of the disk.
pub(super) fn local(
    directory: &std::path::Path,
    path: &str,
    namespace: &str,
) -> Result<Rendered, Failure> {
    let root = input::absolute(directory)?;
    let spec = RenderSpec {
        path: format!("{root}/{path}"),
        default_namespace: namespace.to_owned(),
    };
    Ok(pipeline::render_local(
        &input::files(),
        &spec,
        &kustomize::Options::default(),
        &|file| input::shown(directory, &root, file),
    )?)
}

fn print(format: OutputFormat, objects: &[Object]) -> Result<(), Failure> {
    match format {
        OutputFormat::Yaml => {
            let mut out = String::new();
            for (index, object) in objects.iter().enumerate() {
                if index > 0 {
                    out.push_str("---\n");
                }
                out.push_str(&input::to_yaml(object));
            }
            output::text(&out)
        }
        OutputFormat::Json => {
            let values: Vec<&Value> = objects.iter().map(Object::value).collect();
            output::json(&values)
        }
        OutputFormat::Name => {
            let names: Vec<String> = objects
                .iter()
                .map(|object| format!("{}\n", object.id()))
                .collect();
            output::text(&names.concat())
        }
        OutputFormat::Table | OutputFormat::Wide => {
            let rows: Vec<Vec<String>> = objects
                .iter()
                .map(|object| {
                    let id = object.id();
                    vec![
                        id.namespace.clone(),
                        id.group_kind().to_string(),
                        id.name.clone(),
                        object
                            .location()
                            .map(ToString::to_string)
                            .unwrap_or_default(),
                    ]
                })
                .collect();
            output::text(&output::table(
                &["NAMESPACE", "KIND", "NAME", "SOURCE"],
                &rows,
            ))
        }
    }
}
