//! Collects the error objects of a response body; shared by the JSON and the XML reader.

use tidegate_core::config::{ErrorShape, FieldValues};

/// The maximum number of objects to keep; the first entries of a long error list are enough.
const MAX_OBJECTS: usize = 16;
/// The maximum size of a kept field value, in bytes; values go to policies and to logs.
const MAX_FIELD_SIZE: usize = 8 * 1024;

/// Collects the objects at the paths where a platform puts its errors.
pub struct ErrorExtractor<'a> {
    shapes: &'a [ErrorShape],
    objects: Vec<CandidateObject>,
}

/// An object at the path of a shape.
struct CandidateObject {
    /// The index of the shape.
    shape: usize,
    /// The value of each field that the shape reads, in the order of [`ErrorShape::fields`].
    values: Vec<Option<String>>,
}

/// The position of a reader in a body: how far it is on each path that leads through this position.
pub type PathCursor = Vec<PathStep>;

/// A position on one path. `depth` is the number of names that already match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// On the path from the top level to an object of a shape.
    ToObject { shape: usize, depth: usize },
    /// On the path from an object to one of its fields.
    ToField { object: usize, field: usize, depth: usize },
}

/// The contents of an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ErrorFields {
    pub code: Option<String>,
    pub sub_code: Option<String>,
    pub message: Option<String>,
}

impl<'a> ErrorExtractor<'a> {
    pub const fn new(shapes: &'a [ErrorShape]) -> Self {
        Self { shapes, objects: vec![] }
    }

    /// Returns the cursor for the top level of a body.
    pub fn root(&self) -> PathCursor {
        (0..self.shapes.len()).map(|shape| PathStep::ToObject { shape, depth: 0 }).collect()
    }

    /// Moves the cursor down to `name`; the result is empty if no path leads there.
    pub fn descend(&self, cursor: &[PathStep], name: &str) -> PathCursor {
        cursor.iter().filter_map(|step| self.next_step(*step, name)).collect()
    }

    /// Starts the objects at the cursor; returns the cursor inside them.
    pub fn enter_object(&mut self, mut cursor: PathCursor) -> PathCursor {
        for step in cursor.clone() {
            let PathStep::ToObject { shape, depth } = step else { continue };
            if depth == self.shapes[shape].at.len() && self.objects.len() < MAX_OBJECTS {
                let (object, fields) = (self.objects.len(), self.shapes[shape].fields().count());
                self.objects.push(CandidateObject { shape, values: vec![None; fields] });
                cursor.extend((0..fields).map(|field| PathStep::ToField { object, field, depth: 0 }));
            }
        }
        cursor
    }

    /// Returns the cursor for the items of a list: each item is at the same position as the list, but a field that ends
    /// at the list, or that an earlier item has, is not read.
    pub fn enter_item(&self, cursor: &[PathStep]) -> PathCursor {
        let is_read = |step: &&PathStep| match **step {
            PathStep::ToObject { .. } => true,
            PathStep::ToField { object, field, .. } => {
                !self.is_field(**step) && self.objects[object].values[field].is_none()
            }
        };
        cursor.iter().filter(is_read).copied().collect()
    }

    /// Returns whether a field ends at the cursor.
    pub fn is_at_field(&self, cursor: &[PathStep]) -> bool {
        cursor.iter().any(|step| self.is_field(*step))
    }

    /// Stores the value of each field that ends at the cursor; the last value of a repeated name wins.
    pub fn set_field(&mut self, cursor: &[PathStep], value: &str) {
        let value = &value[..value.floor_char_boundary(MAX_FIELD_SIZE)];
        for step in cursor.iter().filter(|step| self.is_field(**step)).copied().collect::<Vec<_>>() {
            if let PathStep::ToField { object, field, .. } = step {
                self.objects[object].values[field] = Some(value.to_owned());
            }
        }
    }

    /// Returns the first error, in the order of the shapes. `header` returns the value of a response header.
    pub fn error(&self, header: impl Fn(&str) -> Option<String>) -> Option<ErrorFields> {
        let without_object: &[CandidateObject] = &[CandidateObject { shape: 0, values: vec![] }];
        for (index, shape) in self.shapes.iter().enumerate() {
            let objects = if shape.reads_only_headers() { without_object } else { &self.objects };
            let mut objects = objects.iter().filter(|object| object.shape == index || shape.reads_only_headers());
            let error = objects.find_map(|object| {
                let fields = object.fields(shape).or(from_headers(shape, &header));
                object.is_error(shape, fields.code.as_deref()).then_some(fields)
            });
            if error.is_some() {
                return error;
            }
        }
        None
    }

    fn next_step(&self, step: PathStep, name: &str) -> Option<PathStep> {
        match step {
            PathStep::ToObject { shape, depth } => {
                let matches = self.shapes[shape].at.get(depth)?.matches(name);
                matches.then_some(PathStep::ToObject { shape, depth: depth + 1 })
            }
            PathStep::ToField { object, field, depth } => {
                let path = self.shapes[self.objects[object].shape].fields().nth(field)?;
                (path.get(depth)? == name).then_some(PathStep::ToField { object, field, depth: depth + 1 })
            }
        }
    }

    fn is_field(&self, step: PathStep) -> bool {
        match step {
            PathStep::ToObject { .. } => false,
            PathStep::ToField { object, field, depth } => {
                self.shapes[self.objects[object].shape].fields().nth(field).is_some_and(|path| path.len() == depth)
            }
        }
    }
}

impl CandidateObject {
    /// Returns the fields of the object, without headers.
    fn fields(&self, shape: &ErrorShape) -> ErrorFields {
        let mut values = self.values.iter();
        let mut first = |count: usize| {
            values.by_ref().take(count).fold(None, |first: Option<&String>, value| first.or(value.as_ref()))
        };
        let [code, sub_code, message] =
            [&shape.code, &shape.sub_code, &shape.message].map(|paths| first(paths.len()).cloned());
        ErrorFields { code, sub_code, message }
    }

    fn is_error(&self, shape: &ErrorShape, code: Option<&str>) -> bool {
        let mut values = self.values.iter().skip(shape.code.len() + shape.sub_code.len() + shape.message.len());
        let mut holds = |condition: &FieldValues| {
            values.next().is_some_and(|value| value.as_ref().is_some_and(|value| condition.values.contains(value)))
        };
        let when: Vec<_> = shape.when.iter().map(&mut holds).collect();
        let unless: Vec<_> = shape.unless.iter().map(&mut holds).collect();
        let is_code_of = |codes: &Vec<String>| code.map(|code| codes.iter().any(|known| known == code));
        !when.contains(&false)
            && !unless.contains(&true)
            && shape.success_codes.as_ref().is_none_or(|codes| is_code_of(codes) == Some(false))
            && shape.error_codes.as_ref().is_none_or(|codes| is_code_of(codes) == Some(true))
    }
}

impl ErrorFields {
    /// Returns these fields, with those of `other` where there is none.
    pub fn or(self, other: Self) -> Self {
        Self {
            code: self.code.or(other.code),
            sub_code: self.sub_code.or(other.sub_code),
            message: self.message.or(other.message),
        }
    }
}

/// Returns the fields that the headers of a shape contain. A code ends at the first colon.
pub fn from_headers(shape: &ErrorShape, header: impl Fn(&str) -> Option<String>) -> ErrorFields {
    let value = |name: &Option<String>| header(name.as_ref()?).filter(|value| !value.is_empty());
    let code = value(&shape.code_header).and_then(|value| {
        let code = value.split(':').next().unwrap_or_default().trim();
        (!code.is_empty()).then(|| code.to_owned())
    });
    ErrorFields { code, sub_code: value(&shape.sub_code_header), message: value(&shape.message_header) }
}
