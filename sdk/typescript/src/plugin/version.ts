/** The version of this package; a test holds it against package.json. */
export const sdkVersion = "1.0.0";
