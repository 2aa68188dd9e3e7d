//! Where each platform puts errors in a response body, according to its documentation.

/// One path in a response body that may hold an error object.
pub struct ErrorShape {
    /// The names from the top level to the object, empty for the top level itself. A leading `*` in a name matches any
    /// prefix. If the path leads to a list, each item is an object.
    path: &'static [&'static str],
    /// The possible names of the field with the code; the first one that is present is used.
    pub code: &'static [&'static str],
    /// The possible names of the field with the sub-code; the first one that is present is used.
    pub sub_code: &'static [&'static str],
    /// The possible names of the field with the message; the first one that is present is used.
    pub message: &'static [&'static str],
    /// The condition under which the object is an error.
    pub condition: ErrorCondition,
}

/// The condition under which an object is an error.
pub enum ErrorCondition {
    /// The object is present.
    Present,
    /// The object has a code, and the code is not in this list.
    CodeNotIn(&'static [&'static str]),
    /// The code is in this list.
    CodeIn(&'static [&'static str]),
    /// The field has this value.
    FieldIs(&'static str, &'static str),
    /// The field is absent or has another value.
    FieldIsNot(&'static str, &'static str),
}

use ErrorCondition::{CodeIn, CodeNotIn, FieldIs, FieldIsNot, Present};

type Names = &'static [&'static str];

const fn shape(path: Names, code: Names, sub_code: Names, message: Names, condition: ErrorCondition) -> ErrorShape {
    ErrorShape { path, code, sub_code, message, condition }
}

/// Returns the error shapes of a platform, in order of precedence; empty if only the HTTP status reports errors.
pub fn error_shapes(platform: &str) -> &'static [ErrorShape] {
    match platform {
        "taobao" | "tmall" => &TOP,
        "jd" => &JD,
        "pdd" => &PDD,
        "alibaba_1688" => &ALIBABA_1688,
        "alibaba_intl" => &ALIBABA_INTL,
        "aliexpress" => &ALIEXPRESS,
        "lazada" | "tiktok_shop" => &IOP,
        "douyin" => &DOUYIN,
        "kuaishou" => &KUAISHOU,
        "xiaohongshu" => &XIAOHONGSHU,
        "vipshop" => &VIPSHOP,
        "suning" => &SUNING,
        "shopee" => &SHOPEE,
        "amazon" | "walmart" => &ERRORS,
        "ebay" => &EBAY,
        _ => &[],
    }
}

const SUCCESS_IS_FALSE: ErrorCondition = FieldIs("success", "false");

const TOP: [ErrorShape; 1] = [shape(&["error_response"], &["code"], &["sub_code"], &["sub_msg", "msg"], Present)];

const JD: [ErrorShape; 2] = [
    shape(&["error_response"], &["code"], &[], &["zh_desc", "en_desc"], Present),
    // The token endpoint; responses of other endpoints are wrapped and have no code at the top level.
    shape(&[], &["code"], &[], &["msg"], CodeNotIn(&["0"])),
];

const PDD: [ErrorShape; 1] =
    [shape(&["error_response"], &["error_code"], &["sub_code"], &["sub_msg", "error_msg"], Present)];

const ALIBABA_1688: [ErrorShape; 3] = [
    shape(&[], &["error_code", "errorCode"], &[], &["error_message", "errorMessage"], CodeNotIn(&[])),
    shape(&["result"], &["code"], &[], &["message"], SUCCESS_IS_FALSE),
    shape(&[], &["code"], &[], &["message"], SUCCESS_IS_FALSE),
];

const IOP: [ErrorShape; 1] = [shape(&[], &["code"], &["type"], &["message", "msg"], CodeNotIn(&["0"]))];

const ALIBABA_INTL: [ErrorShape; 2] = [
    shape(&[], &["code"], &["type"], &["message", "msg"], CodeNotIn(&["0"])),
    shape(&["result"], &["msg_code"], &[], &["message_info"], SUCCESS_IS_FALSE),
];

const ALIEXPRESS: [ErrorShape; 4] = [
    shape(&["error_response"], &["code"], &["sub_code", "type"], &["sub_msg", "msg"], Present),
    shape(&[], &["code"], &["type"], &["message", "msg"], CodeNotIn(&["0"])),
    // A successful response also contains codes, whose names and meanings differ by API: match known errors only.
    shape(&["*_response"], &["rsp_code", "resp_code", "code"], &[], &["rsp_msg", "resp_msg", "msg"], NESTED_ERROR),
    shape(&["*_response", "*"], &["rsp_code", "resp_code"], &[], &["rsp_msg", "resp_msg"], NESTED_ERROR),
];
const NESTED_ERROR: ErrorCondition = CodeIn(&["404", "405", "602", "605"]);

const DOUYIN: [ErrorShape; 1] = [shape(&[], &["code"], &["sub_code"], &["sub_msg", "msg"], CodeNotIn(&["10000"]))];

const KUAISHOU: [ErrorShape; 1] = [shape(&[], &["result"], &[], &["error_msg"], CodeNotIn(&["1"]))];

const XIAOHONGSHU: [ErrorShape; 3] = [
    shape(&[], &["error_code"], &[], &["error_msg"], CodeNotIn(&["0"])),
    shape(&[], &["error_code"], &[], &["error_msg"], SUCCESS_IS_FALSE),
    // Newer methods wrap a second response.
    shape(&["data"], &["code"], &[], &["msg"], SUCCESS_IS_FALSE),
];

const VIPSHOP: [ErrorShape; 1] = [shape(&[], &["returnCode"], &[], &["returnMessage"], CodeNotIn(&["0"]))];

const SUNING: [ErrorShape; 1] =
    [shape(&["sn_responseContent", "sn_error"], &["error_code"], &[], &["error_msg"], Present)];

const SHOPEE: [ErrorShape; 1] = [shape(&[], &["error"], &[], &["message"], CodeNotIn(&[""]))];

const ERRORS: [ErrorShape; 1] = [shape(&["errors"], &["code"], &["category"], &["message", "description"], Present)];

const EBAY: [ErrorShape; 2] = [
    shape(&["errors"], &["errorId"], &["category"], &["longMessage", "message"], Present),
    // The older APIs, which list warnings together with errors.
    shape(
        &["*Response", "Errors"],
        &["ErrorCode"],
        &["ErrorClassification"],
        &["LongMessage", "ShortMessage"],
        FieldIsNot("SeverityCode", "Warning"),
    ),
];

impl ErrorShape {
    /// Returns the length of the path.
    pub const fn depth(&self) -> usize {
        self.path.len()
    }

    /// Returns whether the path has `name` at index `depth`.
    pub fn continues_with(&self, depth: usize, name: &str) -> bool {
        self.path.get(depth).is_some_and(|pattern| match pattern.strip_prefix('*') {
            Some(suffix) => name.ends_with(suffix),
            None => *pattern == name,
        })
    }

    /// Returns whether the shape reads the field `name`.
    pub fn needs_field(&self, name: &str) -> bool {
        let in_condition = match self.condition {
            FieldIs(field, _) | FieldIsNot(field, _) => field == name,
            Present | CodeNotIn(_) | CodeIn(_) => false,
        };
        in_condition || [self.code, self.sub_code, self.message].iter().any(|names| names.contains(&name))
    }
}
