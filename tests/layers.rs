//! Tests that a module imports only from rows above its own in the layer table of ARCHITECTURE.md, and a file in it
//! only from those before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit as _;

#[test]
fn modules_import_only_from_rows_above() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let layers = layers(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let row = |module: &str| layers.iter().position(|layer| layer == module);
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for file in rust_files(&root.join("src")) {
        let path = file.strip_prefix(root.join("src")).unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let own = row(module).unwrap_or_else(|| panic!("`{module}` is not in the layer table"));
        for imported in crate_paths(&fs::read_to_string(&file).unwrap()) {
            looked_at += 1;
            match row(&imported) {
                Some(other) if other <= own => {}
                _ => wrong.push(format!("{}: crate::{imported}", path.display())),
            }
        }
    }
    assert!(looked_at > 50, "only {looked_at} imports were found");
    assert!(
        wrong.is_empty(),
        "against the layers:\n{}",
        wrong.join("\n")
    );
}

/// In a module, a file imports only from those before it in a comment of its `mod.rs`.
#[test]
fn files_of_a_module_import_only_from_files_before_them() {
    let sources = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut wrong = Vec::new();
    for (module, source) in &sources.files {
        let children = sources.children(module);
        if children.len() < 2 || module.is_empty() {
            continue;
        }
        let order = &source.order;
        if order.iter().collect::<BTreeSet<_>>() != children.iter().collect() {
            wrong.push(format!(
                "{}: `{ORDER}` has {order:?}, the files are {children:?}",
                module.join("::")
            ));
        }
        let place = |file: &[String]| {
            let child = file.strip_prefix(&module[..])?.first()?;
            order.iter().position(|name| name == child)
        };
        for (from, to) in sources.imports() {
            if let (Some(own), Some(other)) = (place(&from), place(&to))
                && other > own
            {
                wrong.push(format!("{} imports {}", from.join("::"), to.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other() {
    let sources = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut imports = sources.imports();
    assert!(imports.len() > 300, "only {} were found", imports.len());
    loop {
        let (importers, imported): (BTreeSet<_>, BTreeSet<_>) = imports.iter().cloned().unzip();
        let before = imports.len();
        // A file that imports nothing is in no cycle, and neither is a file that is never imported.
        imports.retain(|(from, to)| imported.contains(from) && importers.contains(to));
        if imports.len() == before {
            break;
        }
    }
    let cycles: Vec<String> = imports
        .iter()
        .map(|(from, to)| format!("{} imports {}", from.join("::"), to.join("::")))
        .collect();
    assert!(
        cycles.is_empty(),
        "in a cycle or between two:\n{}",
        cycles.join("\n")
    );
}

/// The beginning of the comment in which a module states the order of its files.
const ORDER: &str = "// Files, each of which imports only from those before it:";

/// The path of a module, or of an item in one, from the root of the crate.
type Names = Vec<String>;

/// The files of the crate, by their modules.
struct Sources {
    files: BTreeMap<Names, Source>,
}

/// The items that a file defines and imports.
#[derive(Default)]
struct Source {
    /// The order of the files below it.
    order: Names,
    defined: BTreeSet<String>,
    /// The imported paths, by their names in this file. A re-export is no import.
    imported: Vec<(String, Names)>,
    passed_on: Vec<(String, Names)>,
}

impl Sources {
    fn read(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for path in rust_files(folder) {
            let inner = path.strip_prefix(folder).unwrap().with_extension("");
            let mut module: Names = inner
                .iter()
                .map(|name| name.to_str().unwrap().to_owned())
                .collect();
            if module
                .iter()
                .any(|name| matches!(&**name, "bin" | "proof" | "tests"))
            {
                continue;
            }
            if module
                .last()
                .is_some_and(|name| matches!(&**name, "mod" | "lib"))
            {
                module.pop();
            }
            let code = fs::read_to_string(&path).unwrap();
            files.insert(module.clone(), Source::of(module, &code));
        }
        Self { files }
    }

    fn children(&self, module: &[String]) -> Vec<String> {
        self.files
            .keys()
            .filter(|file| file.len() == module.len() + 1 && file.starts_with(module))
            .filter_map(|file| file.last().cloned())
            .collect()
    }

    /// Returns the pairs of a file and a file that it imports from.
    fn imports(&self) -> BTreeSet<(Names, Names)> {
        let mut imports = BTreeSet::new();
        for (module, source) in &self.files {
            for (_, path) in &source.imported {
                let from = self.file_of(path, 0);
                if let Some(from) = from.filter(|from| from != module) {
                    imports.insert((module.clone(), from));
                }
            }
        }
        imports
    }

    /// Returns the file that defines the item of a path.
    fn file_of(&self, path: &[String], depth: usize) -> Option<Names> {
        let longest = (0..=path.len()).rev();
        let module = longest
            .map(|length| &path[..length])
            .find(|module| self.files.contains_key(*module))?;
        let source = &self.files[module];
        let Some(name) = path.get(module.len()) else {
            return Some(module.to_vec());
        };
        if !source.defined.contains(name) && depth < 9 {
            let mut known = source.passed_on.iter().chain(&source.imported);
            if let Some((_, path)) = known.find(|(known, _)| known == name) {
                return self.file_of(path, depth + 1);
            }
        }
        Some(module.to_vec())
    }
}

impl Source {
    fn of(module: Names, code: &str) -> Self {
        let mut reading = Reading {
            module,
            source: Self {
                order: order(code),
                ..Self::default()
            },
        };
        reading.visit_file(&syn::parse_file(code).unwrap());
        reading.source
    }
}

/// Returns the order that a file states for those below it.
fn order(code: &str) -> Names {
    let Some((_, line)) = code.split_once(ORDER) else {
        return Names::new();
    };
    let comment = line.lines().enumerate();
    let comment = comment.take_while(|(number, line)| *number == 0 || line.starts_with("//"));
    let comment: String = comment.map(|(_, line)| line).collect();
    let names = comment.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

struct Reading {
    module: Names,
    source: Source,
}

impl Reading {
    /// Returns the path from the root, if the path is in this crate.
    fn absolute(&self, path: &[String]) -> Option<Names> {
        let mut names = path.iter();
        let mut absolute = match &**names.next()? {
            "crate" => Names::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().checked_sub(1)?].to_vec(),
            _ => return None,
        };
        for name in names {
            match &**name {
                "super" => drop(absolute.pop()),
                name => absolute.push(name.to_owned()),
            }
        }
        Some(absolute)
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String], is_passed_on: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (path, name) = match tree {
            syn::UseTree::Path(path) => {
                return self.import(&path.tree, &with(&path.ident), is_passed_on);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, is_passed_on);
                }
                return;
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                (before.to_vec(), before.last().cloned().unwrap_or_default())
            }
            syn::UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            syn::UseTree::Rename(name) => (with(&name.ident), name.rename.to_string()),
            syn::UseTree::Glob(_) => (before.to_vec(), "*".to_owned()),
        };
        if let Some(path) = self.absolute(&path) {
            match is_passed_on {
                true => self.source.passed_on.push((name, path)),
                false => self.source.imported.push((name, path)),
            }
        }
    }
}

impl<'a> syn::visit::Visit<'a> for Reading {
    fn visit_item(&mut self, item: &'a syn::Item) {
        use syn::Item;

        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, None),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => return,
        };
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|on| on == "test")
        };
        if attributes.iter().any(is_test) {
            return;
        }
        if let Some(name) = name {
            self.source.defined.insert(name.to_string());
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let is_passed_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &[], is_passed_on);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Names = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if names.len() > 1
            && let Some(path) = self.absolute(&names)
        {
            self.source.imported.push((String::new(), path));
        }
        syn::visit::visit_path(self, path);
    }
}

/// Returns the first column of the table under the heading "Layers".
fn layers(architecture: &str) -> Vec<String> {
    let (_, section) = architecture.split_once("## Layers").unwrap();
    section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(module, _)| module.to_owned())
        .collect()
}

/// Returns the names that follow `crate::` in code, but not in documentation and not in macros for users.
fn crate_paths(source: &str) -> Vec<String> {
    source
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .filter(|module: &String| !module.is_empty())
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
