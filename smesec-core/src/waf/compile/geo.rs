//! The database of `@geoLookup`: the MaxMind DB format, version 2 (feature `geo`).

use std::net::IpAddr;

/// A database of places, held in memory.
#[cfg(feature = "geo")]
pub(crate) struct Database {
    reader: maxminddb::Reader<Vec<u8>>,
}

/// Without the feature there is none.
#[cfg(not(feature = "geo"))]
#[derive(Debug)]
pub(crate) enum Database {}

#[cfg(not(feature = "geo"))]
impl Database {
    /// # Errors
    /// Always: the feature's name.
    pub(crate) fn new(_bytes: Vec<u8>) -> Result<Self, String> {
        Err("needs the feature `geo`; build with it".to_owned())
    }

    pub(crate) fn look_up(&self, _address: IpAddr, _put: &mut dyn FnMut(&str, &str)) -> bool {
        match *self {}
    }
}

#[cfg(feature = "geo")]
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

#[cfg(feature = "geo")]
impl Database {
    /// Reads a database.
    ///
    /// # Errors
    /// When the bytes are not of the format.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = maxminddb::Reader::from_source(bytes)
            .map_err(|e| format!("{e}; name a file in the MaxMind DB format (.mmdb)"))?;
        Ok(Self { reader })
    }

    /// Tells the members of GEO for an address, under the names of ModSecurity's manual; false when
    /// the address is not in the database. `AREA_CODE` is in no database of this format.
    pub(crate) fn look_up(&self, address: IpAddr, put: &mut dyn FnMut(&str, &str)) -> bool {
        use maxminddb::geoip2::City;
        let Ok(found) = self.reader.lookup(address) else { return false };
        let Ok(Some(record)) = found.decode::<City<'_>>() else { return false };
        // Proxies and anycast networks have no country but the one they are registered in.
        let country = match (record.country.iso_code, record.registered_country.iso_code) {
            (None, Some(_)) => &record.registered_country,
            _ => &record.country,
        };
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                put(name, value);
            }
        };
        put("COUNTRY_CODE", country.iso_code);
        put("COUNTRY_CODE3", country.iso_code.and_then(alpha3));
        put("COUNTRY_NAME", country.names.english);
        put("COUNTRY_CONTINENT", record.continent.code);
        let region = record.subdivisions.first();
        put("REGION", region.and_then(|region| region.iso_code));
        put("CITY", record.city.names.english);
        put("POSTAL_CODE", record.postal.code);
        let number = |number: Option<f64>| number.map(|number| number.to_string());
        put("LATITUDE", number(record.location.latitude).as_deref());
        put("LONGITUDE", number(record.location.longitude).as_deref());
        let metro = record.location.metro_code.map(|code| code.to_string());
        put("DMA_CODE", metro.as_deref());
        true
    }
}

/// Country codes of three letters by those of two (ISO 3166-1; XK is in use, not assigned).
#[cfg(feature = "geo")]
const CODES: &str = "\
    ADAND AEARE AFAFG AGATG AIAIA ALALB AMARM AOAGO AQATA ARARG ASASM ATAUT AUAUS AWABW AXALA AZAZE \
    BABIH BBBRB BDBGD BEBEL BFBFA BGBGR BHBHR BIBDI BJBEN BLBLM BMBMU BNBRN BOBOL BQBES BRBRA BSBHS \
    BTBTN BVBVT BWBWA BYBLR BZBLZ CACAN CCCCK CDCOD CFCAF CGCOG CHCHE CICIV CKCOK CLCHL CMCMR CNCHN \
    COCOL CRCRI CUCUB CVCPV CWCUW CXCXR CYCYP CZCZE DEDEU DJDJI DKDNK DMDMA DODOM DZDZA ECECU EEEST \
    EGEGY EHESH ERERI ESESP ETETH FIFIN FJFJI FKFLK FMFSM FOFRO FRFRA GAGAB GBGBR GDGRD GEGEO GFGUF \
    GGGGY GHGHA GIGIB GLGRL GMGMB GNGIN GPGLP GQGNQ GRGRC GSSGS GTGTM GUGUM GWGNB GYGUY HKHKG HMHMD \
    HNHND HRHRV HTHTI HUHUN IDIDN IEIRL ILISR IMIMN ININD IOIOT IQIRQ IRIRN ISISL ITITA JEJEY JMJAM \
    JOJOR JPJPN KEKEN KGKGZ KHKHM KIKIR KMCOM KNKNA KPPRK KRKOR KWKWT KYCYM KZKAZ LALAO LBLBN LCLCA \
    LILIE LKLKA LRLBR LSLSO LTLTU LULUX LVLVA LYLBY MAMAR MCMCO MDMDA MEMNE MFMAF MGMDG MHMHL MKMKD \
    MLMLI MMMMR MNMNG MOMAC MPMNP MQMTQ MRMRT MSMSR MTMLT MUMUS MVMDV MWMWI MXMEX MYMYS MZMOZ NANAM \
    NCNCL NENER NFNFK NGNGA NINIC NLNLD NONOR NPNPL NRNRU NUNIU NZNZL OMOMN PAPAN PEPER PFPYF PGPNG \
    PHPHL PKPAK PLPOL PMSPM PNPCN PRPRI PSPSE PTPRT PWPLW PYPRY QAQAT REREU ROROU RSSRB RURUS RWRWA \
    SASAU SBSLB SCSYC SDSDN SESWE SGSGP SHSHN SISVN SJSJM SKSVK SLSLE SMSMR SNSEN SOSOM SRSUR SSSSD \
    STSTP SVSLV SXSXM SYSYR SZSWZ TCTCA TDTCD TFATF TGTGO THTHA TJTJK TKTKL TLTLS TMTKM TNTUN TOTON \
    TRTUR TTTTO TVTUV TWTWN TZTZA UAUKR UGUGA UMUMI USUSA UYURY UZUZB VAVAT VCVCT VEVEN VGVGB VIVIR \
    VNVNM VUVUT WFWLF WSWSM XKXKX YEYEM YTMYT ZAZAF ZMZMB ZWZWE";

#[cfg(feature = "geo")]
fn alpha3(alpha2: &str) -> Option<&'static str> {
    CODES.split_ascii_whitespace().find_map(|codes| codes.strip_prefix(alpha2))
}

#[cfg(all(test, feature = "geo"))]
mod tests {
    use super::*;

    #[test]
    fn countries_have_codes_of_three_letters() {
        for (two, three) in [("DE", "DEU"), ("US", "USA"), ("CH", "CHE"), ("ZW", "ZWE")] {
            assert_eq!(alpha3(two), Some(three));
        }
        assert_eq!(alpha3("QQ"), None);
        let codes: Vec<&str> = CODES.split_ascii_whitespace().collect();
        assert_eq!(codes.len(), 250);
        assert!(codes.iter().all(|codes| codes.len() == 5));
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn other_files_are_told() {
        assert!(Database::new(b"no database".to_vec()).unwrap_err().contains(".mmdb"));
    }
}
