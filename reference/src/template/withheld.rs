//! What Go and sprig have and templates here do not, so that an error can say why.

/// The name and the reason for each kind.
const WITHHELD: &[(&str, &str)] = &[
    (
        "if else end range with define block template break continue",
        "there are no control structures; use default, coalesce or ternary",
    ),
    ("env expandenv", "a template may not read the environment"),
    (
        "file blob",
        "a template may not read files; use a file: reference",
    ),
    (
        "getHostByName accessor awskms gcpkms",
        "a template may not use the network",
    ),
    (
        "now ago date dateInZone date_in_zone dateModify date_modify mustDateModify must_date_modify duration durationRound \
         htmlDate htmlDateInZone toDate mustToDate unixEpoch",
        "a template may not look at the clock",
    ),
    (
        "randAlpha randAlphaNum randAscii randBytes randInt randNumeric shuffle uuidv4",
        "a template gives the same text for the same secret",
    ),
    (
        "genPrivateKey genCA genCAWithKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey \
         buildCustomCert",
        "keys and certificates come from the server, as with >>vault:pki/issue/ROLE#certificate",
    ),
    (
        "bcrypt htpasswd derivePassword encryptAES decryptAES adler32sum sha1sum sha256sum sha512sum",
        "hashes and ciphers belong to the server (transit) or the program",
    ),
    (
        "add add1 add1f addf sub subf mul mulf div divf mod max maxf min minf biggest ceil floor round float64 toDecimal seq \
         until untilStep",
        "there is no arithmetic; numbers are passed on and compared",
    ),
    (
        "regexFind regexFindAll regexMatch regexQuoteMeta regexReplaceAll regexReplaceAllLiteral regexSplit mustRegexFind \
         mustRegexFindAll mustRegexMatch mustRegexReplaceAll mustRegexReplaceAllLiteral mustRegexSplit",
        "there are no regular expressions; use replace, trimPrefix, contains or split",
    ),
    (
        "all any append chunk compact concat deepCopy deepEqual has initial keys merge mergeOverwrite omit pick pluck prepend \
         push rest reverse set sortAlpha tuple uniq unset values without mustAppend mustChunk mustCompact mustDeepCopy mustHas \
         mustInitial mustMerge mustMergeOverwrite mustPrepend mustPush mustRest mustReverse mustSlice mustUniq mustWithout",
        "maps and lists are only made (dict, list), looked into (index, get, dig, slice) and joined",
    ),
    (
        "kindIs kindOf typeIs typeIsLike typeOf",
        "types are JSON's; compare values instead",
    ),
    (
        "base clean dir ext isAbs osBase osClean osDir osExt osIsAbs",
        "there are no functions on file names; use split or replace",
    ),
    (
        "urlParse urlJoin",
        "URLs are not taken apart; use split, and urlquery to put one together",
    ),
    (
        "semver semverCompare",
        "versions are not compared; compare text with eq",
    ),
    ("js call", "a template makes no program; use toJson"),
    (
        "hello plural splitn trimall abbrevboth wrap wrapWith",
        "it is not needed for secrets; use split, trimAll, abbrev or replace",
    ),
];

/// Name and reason, if `name` is one of them.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    WITHHELD.iter().find_map(|(names, reason)| {
        names
            .split_whitespace()
            .find(|withheld| *withheld == name)
            .map(|name| (name, *reason))
    })
}
